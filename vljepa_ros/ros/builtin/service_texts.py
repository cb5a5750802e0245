"""The standard services of ROS 2 Jazzy as `.srv` text; rosbags ships message types only."""

from __future__ import annotations

SERVICE_TEXTS: dict[str, str] = {
    "diagnostic_msgs/srv/AddDiagnostics": (
        "string load_namespace\n---\nbool success\nstring message"
    ),
    "diagnostic_msgs/srv/SelfTest": (
        "---\nstring id\nbyte passed\ndiagnostic_msgs/DiagnosticStatus[] status"
    ),
    "lifecycle_msgs/srv/ChangeState": "lifecycle_msgs/Transition transition\n---\nbool success",
    "lifecycle_msgs/srv/GetAvailableStates": "---\nlifecycle_msgs/State[] available_states",
    "lifecycle_msgs/srv/GetAvailableTransitions": (
        "---\nlifecycle_msgs/TransitionDescription[] available_transitions"
    ),
    "lifecycle_msgs/srv/GetState": "---\nlifecycle_msgs/State current_state",
    "rcl_interfaces/srv/DescribeParameters": (
        "string[] names\n---\nrcl_interfaces/ParameterDescriptor[] descriptors"
    ),
    "rcl_interfaces/srv/GetLoggerLevels": (
        "string[] names\n---\nrcl_interfaces/LoggerLevel[] levels"
    ),
    "rcl_interfaces/srv/GetParameterTypes": "string[] names\n---\nuint8[] types",
    "rcl_interfaces/srv/GetParameters": (
        "string[] names\n---\nrcl_interfaces/ParameterValue[] values"
    ),
    "rcl_interfaces/srv/ListParameters": (
        "uint64 DEPTH_RECURSIVE=0\nstring[] prefixes\nuint64 depth\n"
        "---\nrcl_interfaces/ListParametersResult result"
    ),
    "rcl_interfaces/srv/SetLoggerLevels": (
        "rcl_interfaces/LoggerLevel[] levels\n---\nrcl_interfaces/SetLoggerLevelsResult[] results"
    ),
    "rcl_interfaces/srv/SetParameters": (
        "rcl_interfaces/Parameter[] parameters\n---\nrcl_interfaces/SetParametersResult[] results"
    ),
    "rcl_interfaces/srv/SetParametersAtomically": (
        "rcl_interfaces/Parameter[] parameters\n---\nrcl_interfaces/SetParametersResult result"
    ),
    "sensor_msgs/srv/SetCameraInfo": (
        "sensor_msgs/CameraInfo camera_info\n---\nbool success\nstring status_message"
    ),
    "std_srvs/srv/Empty": "---\n",
    "std_srvs/srv/SetBool": "bool data\n---\nbool success\nstring message",
    "std_srvs/srv/Trigger": "---\nbool success\nstring message",
    "type_description_interfaces/srv/GetTypeDescription": (
        "string type_name\nstring type_hash\nbool include_type_sources true\n---\n"
        "bool successful\nstring failure_reason\n"
        "type_description_interfaces/TypeDescription type_description\n"
        "type_description_interfaces/TypeSource[] type_sources\n"
        "type_description_interfaces/KeyValue[] extra_information"
    ),
}

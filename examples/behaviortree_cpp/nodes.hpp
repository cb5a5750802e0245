// Nodes for BehaviorTree.CPP 4 (and so for Nav2): a condition that reads a trigger's state, an action that waits.
#pragma once

#include <behaviortree_cpp/behavior_tree.h>

#include <rclcpp/rclcpp.hpp>
#include <rclcpp_action/rclcpp_action.hpp>
#include <vljepa_ros/action/wait_for.hpp>
#include <vljepa_ros/msg/trigger_state.hpp>

namespace vljepa_example
{

// SUCCESS while a trigger is TRUE, FAILURE while it is FALSE, RUNNING while it is unknown, also if trigger_node
// is gone. The planner adds the trigger (see examples/triggers.py), or the parameter `triggers` lists it.
class TriggerIsTrue : public BT::ConditionNode
{
public:
  using Status = vljepa_ros::msg::TriggerStatus;

  TriggerIsTrue(
    const std::string & name, const BT::NodeConfig & config, rclcpp::Node::SharedPtr node)
  : BT::ConditionNode(name, config), node_(node)
  {
    auto camera = getInput<std::string>("camera").value();
    subscription_ = node->create_subscription<vljepa_ros::msg::TriggerState>(
      "/vljepa/" + camera + "/trigger_state", rclcpp::QoS(1).transient_local(),
      [this](vljepa_ros::msg::TriggerState::ConstSharedPtr message) {
        state_ = message;
        arrived_ = std::chrono::steady_clock::now();
      });
  }

  static BT::PortsList providedPorts()
  {
    return {
      BT::InputPort<std::string>("owner", "parameter", "who added the trigger"),
      BT::InputPort<std::string>("trigger", "its id"),
      BT::InputPort<std::string>("camera", "front", "name of the camera")};
  }

  BT::NodeStatus tick() override
  {
    auto owner = getInput<std::string>("owner").value();
    auto trigger = getInput<std::string>("trigger").value();
    if (!state_ || std::chrono::steady_clock::now() - arrived_ > std::chrono::milliseconds(1500)) {
      return BT::NodeStatus::RUNNING;
    }
    for (const auto & status : state_->triggers) {
      if (status.owner == owner && status.id == trigger && status.state != Status::STATE_UNKNOWN) {
        return status.state == Status::STATE_TRUE ? BT::NodeStatus::SUCCESS :
               BT::NodeStatus::FAILURE;
      }
    }
    return BT::NodeStatus::RUNNING;
  }

private:
  rclcpp::Node::SharedPtr node_;
  rclcpp::Subscription<vljepa_ros::msg::TriggerState>::SharedPtr subscription_;
  vljepa_ros::msg::TriggerState::ConstSharedPtr state_;
  std::chrono::steady_clock::time_point arrived_;
};

// SUCCESS once a text is true; FAILURE at the time limit, also if trigger_node is gone.
class WaitForText : public BT::StatefulActionNode
{
public:
  using WaitFor = vljepa_ros::action::WaitFor;
  using Client = rclcpp_action::Client<WaitFor>;
  using Handle = rclcpp_action::ClientGoalHandle<WaitFor>;

  WaitForText(const std::string & name, const BT::NodeConfig & config, rclcpp::Node::SharedPtr node)
  : BT::StatefulActionNode(name, config),
    client_(rclcpp_action::create_client<WaitFor>(node, "/vljepa/wait_for"))
  {
  }

  static BT::PortsList providedPorts()
  {
    return {
      BT::InputPort<std::string>("text", "what to wait for"),
      BT::InputPort<double>("seconds", 30.0, "for how long"),
      BT::OutputPort<std::string>("why", "why it failed")};
  }

  BT::NodeStatus onStart() override
  {
    // A goal that is sent before the server was discovered is lost.
    if (!client_->wait_for_action_server(std::chrono::seconds(2))) {
      setOutput("why", std::string("trigger_node is not there"));
      return BT::NodeStatus::FAILURE;
    }
    auto seconds = getInput<double>("seconds").value();
    WaitFor::Goal request;
    request.texts = {getInput<std::string>("text").value()};
    request.timeout = rclcpp::Duration::from_seconds(seconds);
    end_ = std::chrono::steady_clock::now() +
      std::chrono::milliseconds(static_cast<int>(1000 * seconds) + 5000);
    goal_ = std::make_shared<Goal>();
    Client::SendGoalOptions options;
    options.goal_response_callback = [client = client_, goal = goal_](Handle::SharedPtr handle) {
        goal->handle = handle;
        if (goal->halted && handle) {
          client->async_cancel_goal(handle);
        }
      };
    options.result_callback = [goal = goal_](const Handle::WrappedResult & result) {
        goal->result = result.result;
      };
    client_->async_send_goal(request, options);
    return BT::NodeStatus::RUNNING;
  }

  BT::NodeStatus onRunning() override
  {
    if (goal_->result) {
      setOutput("why", goal_->result->result.message);
      return goal_->result->outcome == WaitFor::Result::OUTCOME_TRUE ? BT::NodeStatus::SUCCESS :
             BT::NodeStatus::FAILURE;
    }
    if (std::chrono::steady_clock::now() < end_) {
      return BT::NodeStatus::RUNNING;
    }
    setOutput("why", std::string("trigger_node is gone"));
    onHalted();
    return BT::NodeStatus::FAILURE;
  }

  void onHalted() override
  {
    goal_->halted = true;
    if (goal_->handle && !goal_->result) {
      client_->async_cancel_goal(goal_->handle);
    }
  }

private:
  struct Goal
  {
    Handle::SharedPtr handle;
    WaitFor::Result::SharedPtr result;
    bool halted = false;
  };

  Client::SharedPtr client_;
  std::shared_ptr<Goal> goal_;
  std::chrono::steady_clock::time_point end_;
};

}  // namespace vljepa_example

// Runs the tree of a file: planner tree.xml
#include <behaviortree_cpp/bt_factory.h>

#include "nodes.hpp"

#include <filesystem>

int main(int argc, char ** argv)
{
  rclcpp::init(argc, argv);
  auto node = rclcpp::Node::make_shared("planner");
  BT::BehaviorTreeFactory factory;
  factory.registerNodeType<vljepa_example::TriggerIsTrue>("TriggerIsTrue", node);
  factory.registerNodeType<vljepa_example::WaitForText>("WaitForText", node);
  auto tree = factory.createTreeFromFile(std::filesystem::absolute(argv[1]));
  auto status = BT::NodeStatus::RUNNING;
  for (rclcpp::WallRate rate(10.0); rclcpp::ok() && status == BT::NodeStatus::RUNNING; rate.sleep()) {
    rclcpp::spin_some(node);  // what arrived since the tick before
    status = tree.tickOnce();
  }
  std::string why;
  (void)tree.rootBlackboard()->get("why", why);
  RCLCPP_INFO(
    node->get_logger(), "the tree ends with %s %s", BT::toStr(status).c_str(), why.c_str());
  tree.haltTree();
  rclcpp::shutdown();
  return status == BT::NodeStatus::SUCCESS ? 0 : 1;
}

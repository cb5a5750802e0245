// Asks what the camera sees, then follows the scene's events for some seconds.
// cmake -S examples/cpp -B build && cmake --build build
// build/ask 10 "is the door open or closed?" open closed
#include <rclcpp/rclcpp.hpp>
#include <vljepa_ros/msg/scene_event.hpp>
#include <vljepa_ros/srv/answer_question.hpp>

using namespace std::chrono_literals;
using vljepa_ros::msg::Answer;
using vljepa_ros::msg::Result;
using vljepa_ros::msg::SceneEvent;
using vljepa_ros::srv::AnswerQuestion;

int main(int argc, char ** argv)
{
  rclcpp::init(argc, argv);
  if (argc < 5) {
    fprintf(stderr, "usage: ask SECONDS QUESTION CANDIDATE CANDIDATE...\n");
    return 2;
  }
  auto node = rclcpp::Node::make_shared("planner");
  auto events = node->create_subscription<SceneEvent>(
    "/vljepa/events", 10, [](SceneEvent::ConstSharedPtr event) {
      printf("%s: %s (confidence %.2f)\n", event->camera.c_str(), event->text.c_str(),
        event->confidence);
    });
  auto client = node->create_client<AnswerQuestion>("/vljepa/answer_question");
  if (!client->wait_for_service(5s)) {
    fprintf(stderr, "perception_node is not there\n");
    return 1;
  }
  auto request = std::make_shared<AnswerQuestion::Request>();
  request->question.text = argv[2];
  request->question.candidates.assign(argv + 3, argv + argc);
  request->max_age = rclcpp::Duration(1s);  // of the newest image
  request->wait = rclcpp::Duration(2s);     // for one that is as new as that
  auto future = client->async_send_request(request);
  if (rclcpp::spin_until_future_complete(node, future, 15s) != rclcpp::FutureReturnCode::SUCCESS) {
    fprintf(stderr, "no reply\n");
    return 1;
  }
  auto reply = future.get();
  if (reply->result.code != Result::OK) {  // BUSY and TIMEOUT: try again; BAD_REQUEST: do not
    printf("result %d: %s\n", reply->result.code, reply->result.message.c_str());
  } else if (reply->answer.status == Answer::ANSWERED) {
    printf("%s (margin %.2f)\n", reply->answer.answer.c_str(), reply->answer.margin);
  } else {  // AMBIGUOUS, NONE_FITS, OUT_OF_DOMAIN
    printf("no answer: %s\n", reply->answer.message.c_str());
  }
  auto end = node->now() + rclcpp::Duration::from_seconds(atof(argv[1]));
  while (rclcpp::ok() && node->now() < end) {
    rclcpp::spin_some(node);
    rclcpp::sleep_for(50ms);
  }
  rclcpp::shutdown();
}

// Answers that are due now, run by the handler that gives them.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "sim/core/event_queue.h"

namespace collapsar {
namespace {

// Writes its name down when it acts, and asks whether the clock would go on.
class AskingActor {
 public:
  AskingActor(EventQueue& queue, std::string& log, char name, Phase phase = Phase::completion)
      : act_(event<&AskingActor::act>(this, "actor.act", phase)), queue_(queue), log_(log), name_(name) {}
  Event act_;
  bool would_go_on_ = false;

 private:
  void act() {
    log_ += name_;
    EXPECT_EQ(queue_.now(), act_.when());
    would_go_on_ = queue_.inline_until() > queue_.now();
  }
  EventQueue& queue_;
  std::string& log_;
  char name_;
};

// Ends with answers that are due now, all in the phase of completions.
class Answering {
 public:
  Answering(EventQueue& queue, std::vector<Event*> answers) : queue_(queue), answers_(std::move(answers)) {}
  Event end_ = event<&Answering::end>(this, "answering.end", Phase::completion);
  bool has_answered_here_ = false;

 private:
  void end() {
    has_answered_here_ = queue_.is_next(Phase::completion);
    for (Event* answer : answers_)
      if (has_answered_here_) queue_.run_here(*answer, answer == answers_.back());
      else queue_.schedule(*answer, queue_.now());
  }
  EventQueue& queue_;
  std::vector<Event*> answers_;
};

std::string order_with(Phase other, bool one_event_per_step, bool is_answered_here) {
  EventQueue queue(one_event_per_step);
  std::string log;
  AskingActor a(queue, log, 'a'), b(queue, log, 'b'), o(queue, log, 'o', other);
  Answering answering(queue, {&a.act_, &b.act_});
  queue.schedule(answering.end_, Time(Duration(5)));
  queue.schedule(o.act_, Time(Duration(5)));
  queue.run();
  EXPECT_EQ(answering.has_answered_here_, is_answered_here);
  EXPECT_EQ(queue.events_run(), 4U);
  return log;
}

TEST(EventAnswers, RunWhereTheyAreGivenOnlyIfTheyWouldBeNext) {
  EXPECT_EQ(order_with(Phase::completion, false, false), "oab");
  EXPECT_EQ(order_with(Phase::kernel, false, true), "abo");
  EXPECT_EQ(order_with(Phase::kernel, true, false), "abo");
}

TEST(EventAnswers, NothingGoesOnInlineBeforeTheLast) {
  EventQueue queue;
  std::string log;
  AskingActor first(queue, log, '1'), last(queue, log, '2');
  Answering answering(queue, {&first.act_, &last.act_});
  queue.schedule(answering.end_, Time(Duration(5)));
  queue.run();
  EXPECT_TRUE(answering.has_answered_here_);
  EXPECT_FALSE(first.would_go_on_);
  EXPECT_TRUE(last.would_go_on_);
}

TEST(EventAnswers, AreNotRunWithTheOneEventOfRunOne) {
  EventQueue queue;
  std::string log;
  AskingActor a(queue, log, 'a');
  Answering answering(queue, {&a.act_});
  queue.schedule(answering.end_, Time(Duration(5)));
  EXPECT_TRUE(queue.run_one());
  EXPECT_EQ(log, "");
  EXPECT_TRUE(queue.run_one());
  EXPECT_EQ(log, "a");
}

}  // namespace
}  // namespace collapsar

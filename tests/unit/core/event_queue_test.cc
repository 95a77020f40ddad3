#include "sim/core/event_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <string>

#include "sim/core/random.h"

namespace collapsar {
namespace {

using namespace std::chrono_literals;

Time at(std::int64_t ps) { return Time(Duration(ps)); }

// Writes its name down when it acts.
class Actor {
 public:
  Actor(EventQueue& queue, std::string& log, char name, Phase phase = Phase::cpu)
      : act_(event<&Actor::act>(this, "actor.act", phase)), queue_(queue), log_(log), name_(name) {}
  Event act_;

 private:
  void act() {
    log_ += name_;
    EXPECT_EQ(queue_.now(), act_.when());
    EXPECT_FALSE(act_.pending());
  }
  EventQueue& queue_;
  std::string& log_;
  char name_;
};

class EventQueueTest : public ::testing::Test {
 protected:
  EventQueue queue_;
  std::string log_;
};

TEST_F(EventQueueTest, EarlierComesFirst) {
  Actor a(queue_, log_, 'a'), b(queue_, log_, 'b'), c(queue_, log_, 'c');
  queue_.schedule(a.act_, at(30));
  queue_.schedule(b.act_, at(10));
  queue_.schedule(c.act_, at(20));
  EXPECT_EQ(queue_.next_time(), at(10));
  EXPECT_FALSE(queue_.run());
  EXPECT_EQ(log_, "bca");
  EXPECT_EQ(queue_.now(), at(30));
  EXPECT_EQ(queue_.next_time(), kNever);
  EXPECT_EQ(queue_.events_run(), 3U);
}

TEST_F(EventQueueTest, AtTheSameTimeThePhaseDecidesThenWhoWasScheduledFirst) {
  Actor observer(queue_, log_, 'o', Phase::observe), first(queue_, log_, '1'), second(queue_, log_, '2');
  Actor kernel(queue_, log_, 'k', Phase::kernel), completion(queue_, log_, 'c', Phase::completion);
  for (Actor* actor : {&observer, &second, &first, &kernel, &completion}) queue_.schedule(actor->act_, at(5));
  queue_.reschedule(second.act_, at(5));  // now the last of its phase
  queue_.run();
  EXPECT_EQ(log_, "ck12o");
}

TEST_F(EventQueueTest, ACancelledEventDoesNotAct) {
  Actor a(queue_, log_, 'a'), b(queue_, log_, 'b');
  queue_.schedule(a.act_, at(1));
  queue_.schedule(b.act_, at(2));
  queue_.cancel(a.act_);
  queue_.cancel(a.act_);
  EXPECT_FALSE(a.act_.pending());
  queue_.run();
  EXPECT_EQ(log_, "b");
}

TEST_F(EventQueueTest, ARescheduledEventActsOnceAtItsNewTime) {
  Actor a(queue_, log_, 'a'), b(queue_, log_, 'b');
  queue_.schedule(a.act_, at(1));
  queue_.schedule(b.act_, at(2));
  queue_.reschedule(a.act_, at(3));
  queue_.run();
  EXPECT_EQ(log_, "ba");
}

TEST_F(EventQueueTest, RunUntilActsUpToAndIncludingTheMoment) {
  Actor a(queue_, log_, 'a'), b(queue_, log_, 'b');
  queue_.schedule(a.act_, at(10));
  queue_.schedule(b.act_, at(11));
  queue_.run_until(at(9));
  EXPECT_EQ(log_, "");
  EXPECT_EQ(queue_.now(), at(9));
  queue_.run_until(at(10));
  EXPECT_EQ(log_, "a");
  EXPECT_TRUE(b.act_.pending());
  queue_.clear();
}

TEST_F(EventQueueTest, AdvancesOnlyWhileNobodyElseIsDue) {
  Actor a(queue_, log_, 'a');
  queue_.schedule(a.act_, at(10));
  EXPECT_FALSE(queue_.try_advance(at(11)));
  EXPECT_FALSE(queue_.try_advance(at(10)));
  EXPECT_EQ(queue_.now(), at(0));
  EXPECT_TRUE(queue_.try_advance(at(9)));
  EXPECT_EQ(queue_.now(), at(9));
  queue_.clear();
}

TEST_F(EventQueueTest, OneEventPerStepNeverAdvances) {
  EventQueue stepping(true);
  EXPECT_FALSE(stepping.try_advance(at(1)));
}

TEST_F(EventQueueTest, ClearTakesEverythingOff) {
  Actor a(queue_, log_, 'a');
  queue_.schedule(a.act_, at(1));
  queue_.clear();
  EXPECT_FALSE(a.act_.pending());
  EXPECT_FALSE(queue_.run_one());
}

TEST_F(EventQueueTest, ADestroyedQueueLetsGoOfItsEvents) {
  auto queue = std::make_unique<EventQueue>();
  Actor a(*queue, log_, 'a');
  queue->schedule(a.act_, at(1));
  queue.reset();
  EXPECT_FALSE(a.act_.pending());
}

// The agenda against a plain sorted list, with cancels and reschedules in between.
TEST_F(EventQueueTest, OrderIsTotalForAnyMix) {
  struct Slot {
    Slot(std::vector<std::size_t>& acted, std::size_t i, Phase phase)
        : index(i), phase_of(phase), log(acted), wake(event<&Slot::act>(this, "slot", phase)) {}
    void act() { log.push_back(index); }
    std::size_t index;
    Phase phase_of;
    std::vector<std::size_t>& log;
    Event wake;
    std::uint64_t sequence = 0;
  };
  Random random(1, "agenda");
  std::vector<std::size_t> acted;
  std::deque<Slot> slots;
  for (std::size_t i = 0; i < 300; ++i) slots.emplace_back(acted, i, static_cast<Phase>(random.below(4)));
  for (std::uint64_t step = 1; step <= 3000; ++step) {
    Slot& slot = slots[random.below(slots.size())];
    if (random.chance(0.3)) {
      queue_.cancel(slot.wake);
    } else {
      queue_.reschedule(slot.wake, at(static_cast<std::int64_t>(random.below(50))));
      slot.sequence = step;
    }
  }
  std::vector<const Slot*> expected;
  for (const Slot& slot : slots)
    if (slot.wake.pending()) expected.push_back(&slot);
  std::sort(expected.begin(), expected.end(), [](const Slot* a, const Slot* b) {
    return std::tuple(a->wake.when(), a->phase_of, a->sequence) < std::tuple(b->wake.when(), b->phase_of, b->sequence);
  });
  queue_.run();
  ASSERT_EQ(acted.size(), expected.size());
  for (std::size_t i = 0; i < acted.size(); ++i) EXPECT_EQ(acted[i], expected[i]->index);
}

// Walkers share a number: each step changes it in a way that depends on who came before.
class Walker {
 public:
  Walker(EventQueue& queue, std::string name, std::uint64_t& shared, std::string& log, Phase phase)
      : queue_(queue),
        random_(1, name),
        name_(std::move(name)),
        shared_(shared),
        log_(log),
        step_(event<&Walker::walk>(this, "walker.step", phase)) {
    queue_.schedule_after(step_, pause());
  }

 private:
  Duration pause() { return Duration(static_cast<std::int64_t>(random_.below(6))); }
  void walk() {
    while (true) {
      shared_ = shared_ * 31 + random_.below(100);
      log_ += fmt::format("{}@{}:{} ", name_, queue_.now().time_since_epoch().count(), shared_);
      if (++steps_ == 200 && name_ == "w0") return queue_.stop();
      const Time due = queue_.now() + pause();
      if (!queue_.try_advance(due)) return queue_.schedule(step_, due);
    }
  }
  EventQueue& queue_;
  Random random_;
  std::string name_;
  std::uint64_t& shared_;
  std::string& log_;
  int steps_ = 0;
  Event step_;
};

struct Walk {
  std::string log;
  std::uint64_t events = 0;
};

template <class Run>
Walk walk(bool one_event_per_step, Run run) {
  Walk result;
  std::uint64_t shared = 1;
  auto queue = std::make_unique<EventQueue>(one_event_per_step);
  std::deque<Walker> walkers;
  for (unsigned i = 0; i < 4; ++i)
    walkers.emplace_back(*queue, fmt::format("w{}", i), shared, result.log, static_cast<Phase>(i % 3));
  run(*queue);
  result.log += fmt::format("end {}", queue->now().time_since_epoch().count());
  result.events = queue->events_run();
  queue.reset();
  return result;
}

TEST(EventQueueModes, InlineEqualsOneEventPerStep) {
  const auto run = [](EventQueue& queue) { EXPECT_TRUE(queue.run()); };
  const Walk inline_walk = walk(false, run), stepped = walk(true, run);
  EXPECT_EQ(inline_walk.log, stepped.log);
  EXPECT_LT(inline_walk.events, stepped.events);  // else nothing went inline and the test is void
}

TEST(EventQueueModes, InlineDoesNotPassTheEndOfRunUntil) {
  const auto run = [](EventQueue& queue) {
    for (std::int64_t end : {7, 8, 20, 100}) queue.run_until(at(end));
  };
  EXPECT_EQ(walk(false, run).log, walk(true, run).log);
}

TEST(EventQueueModes, NothingGoesInlineAfterStop) {
  struct Stopper {
    explicit Stopper(EventQueue& q) : queue(q), wake(event<&Stopper::act>(this, "stopper", Phase::cpu)) {}
    void act() {
      queue.stop();
      EXPECT_FALSE(queue.try_advance(queue.now() + 1ns));
    }
    EventQueue& queue;
    Event wake;
  };
  EventQueue queue;
  Stopper stopper(queue);
  queue.schedule(stopper.wake, at(1));
  EXPECT_TRUE(queue.run());
  EXPECT_EQ(queue.now(), at(1));
}

struct Breaker {
  explicit Breaker(EventQueue& q) : queue(q), wake(event<&Breaker::act>(this, "breaker.wake", Phase::kernel)) {}
  void act() { SIM_ASSERT(queue.events_run() == 0, "frame {:#x} freed twice", 0x1a2b); }
  EventQueue& queue;
  Event wake;
};

TEST(EventQueueDeathTest, AFailedAssertionSaysWhenAndInWhichEvent) {
  EventQueue queue;
  Breaker breaker(queue);
  queue.schedule(breaker.wake, Time(10ms));
  EXPECT_DEATH(queue.run(),
               "frame 0x1a2b freed twice: broken: queue.events_run\\(\\) == 0 \\(simulated time 10ms, "
               "event breaker.wake\\)");
  queue.clear();
}

TEST(EventQueueDeathTest, MisuseIsCaught) {
  EventQueue queue, other;
  std::string log;
  Actor actor(queue, log, 'a');
  queue.schedule(actor.act_, at(5));
  EXPECT_DEATH(queue.schedule(actor.act_, at(6)), "event actor.act scheduled twice");
  EXPECT_DEATH(other.cancel(actor.act_), "event actor.act is on the agenda of another queue");
  queue.run();
  EXPECT_DEATH(queue.schedule(actor.act_, at(4)), "event actor.act scheduled 1 ps in the past");
}

}  // namespace
}  // namespace collapsar

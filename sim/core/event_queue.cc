#include "sim/core/event_queue.h"

#include <algorithm>
#include <utility>

namespace collapsar {

namespace {
thread_local const EventQueue* running_queue = nullptr;
constexpr std::size_t kArity = 4;  // four entries of 16 bytes: children share one or two cache lines
}  // namespace

class EventQueue::Running {
 public:
  Running(EventQueue& queue, Time inline_limit, bool may_nest) : queue_(queue), outer_(running_queue) {
    SIM_ASSERT(queue.current_name_[0] == '\0', "queue run from inside its event {}", queue.current_name_);
    running_queue = &queue;
    queue.stopped_ = false, queue.may_nest_ = may_nest;
    queue.inline_limit_ = std::min(inline_limit, queue.usual_limit());
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() {
    running_queue = outer_;
    queue_.current_name_ = "", queue_.may_nest_ = false;
    queue_.inline_limit_ = queue_.usual_limit();
  }

 private:
  EventQueue& queue_;
  const EventQueue* outer_;
};

const EventQueue* EventQueue::running() { return running_queue; }

// At one time, what comes later is behind all of its phase and those before.
void EventQueue::insert(Time when, Event& event) {
  const auto is_behind = [&](std::uint32_t i) {
    if (near_when_[i] != when) [[likely]]
      return near_when_[i] < when;
    return near_[i]->phase_ <= event.phase_;
  };
  const bool is_near = near_count_ > 0 && !is_behind(1);
  if (!is_near && !(heap_.empty() && near_count_ < kNearby)) return push({when, &event});
  if (near_count_ == kNearby) {
    push({near_when_[1], near_[1]});
    std::copy(near_when_.begin() + 2, near_when_.end(), near_when_.begin() + 1);
    std::copy(near_.begin() + 2, near_.end(), near_.begin() + 1);
    --near_count_;
  }
  // Most are due soon, and so find their place in a few steps.
  std::uint32_t i = ++near_count_;
  for (; i > 1 && is_behind(i - 1); --i) near_when_[i] = near_when_[i - 1], near_[i] = near_[i - 1];
  near_when_[i] = when, near_[i] = &event;
  event.place_ = Event::kNear;
}

void EventQueue::push(const Entry& entry) {
  heap_.push_back(entry);
  sift_up(heap_.size() - 1);
}

// Requires: near_ is empty.
void EventQueue::refill() {
  for (std::uint32_t n = 0; n < kNearby / 2 && !heap_.empty(); ++n) {
    const Entry first = heap_.front();
    remove_at(0);
    std::copy_backward(near_when_.begin() + 1, near_when_.begin() + near_count_ + 1,
                       near_when_.begin() + near_count_ + 2);
    std::copy_backward(near_.begin() + 1, near_.begin() + near_count_ + 1, near_.begin() + near_count_ + 2);
    near_when_[1] = first.when, near_[1] = first.event, ++near_count_;
    first.event->place_ = Event::kNear;
  }
}

void EventQueue::cancel(Event& event) {
  if (!event.pending()) return;
  const std::uint32_t place = event.place_;
  SIM_ASSERT(place == Event::kNear || (place < heap_.size() && heap_[place].event == &event),
             "event {} is on the agenda of another queue", event.name_);
  if (place == Event::kNear) remove_near(event);
  else remove_at(place);
  event.place_ = Event::kIdle;
}

void EventQueue::clear() {
  for (const Entry& entry : heap_) entry.event->place_ = Event::kIdle;
  for (std::uint32_t i = 1; i <= near_count_; ++i) near_[i]->place_ = Event::kIdle;
  heap_.clear(), near_count_ = 0;
}

bool EventQueue::run() {
  Running running(*this, kNever, true);
  while (!stopped_) {
    if (near_count_ == 0) return false;
    step();
  }
  return true;
}

bool EventQueue::run_one() {
  if (near_count_ == 0) return false;
  Running running(*this, kNever, false);  // one event, not those that follow
  step();
  return true;
}

void EventQueue::run_until(Time until) {
  SIM_ASSERT(until >= now_, "asked to run until {} ps before now", (now_ - until).count());
  Running running(*this, until, true);
  while (!stopped_ && near_count_ > 0 && next_time() <= until) step();
  if (!stopped_) now_ = until;
}

// The event leaves the agenda before its handler runs, so that the handler can schedule it again.
void EventQueue::step() {
  Event& event = *near_[near_count_];
  now_ = near_when_[near_count_--];
  event.place_ = Event::kIdle;
  if (near_count_ == 0 && !heap_.empty()) refill();
  current_name_ = event.name_;
  ++events_run_;
  event.handler_(event.owner_);
}

void EventQueue::run_here(Event& event, bool is_last) {
  SIM_ASSERT(!event.pending(), "event {} is scheduled and run at once", event.name_);
  if (stopped_) return schedule(event, now_);
  const char* const outer = std::exchange(current_name_, event.name_);
  const Time limit = std::exchange(inline_limit_, is_last ? inline_limit_ : kNoTime);
  event.when_ = now_;
  ++events_run_;
  event.handler_(event.owner_);
  current_name_ = outer;
  if (!stopped_) inline_limit_ = limit;
}

void EventQueue::remove_near(const Event& event) {
  std::uint32_t i = near_count_;
  while (i > 0 && near_[i] != &event) --i;
  SIM_ASSERT(i > 0, "event {} is on the agenda of another queue", event.name_);
  for (; i < near_count_; ++i) near_when_[i] = near_when_[i + 1], near_[i] = near_[i + 1];
  if (--near_count_ == 0) refill();
}

void EventQueue::remove_at(std::size_t i) {
  const Entry last = heap_.back();
  heap_.pop_back();
  if (i == heap_.size()) return;
  heap_[i] = last;
  if (i > 0 && last.before(heap_[(i - 1) / kArity])) sift_up(i);
  else sift_down(i);
}

void EventQueue::sift_up(std::size_t i) {
  const Entry moving = heap_[i];
  while (i > 0) {
    const std::size_t parent = (i - 1) / kArity;
    if (!moving.before(heap_[parent])) break;
    place(i, heap_[parent]);
    i = parent;
  }
  place(i, moving);
}

void EventQueue::sift_down(std::size_t i) {
  const Entry moving = heap_[i];
  for (std::size_t first = i * kArity + 1; first < heap_.size(); first = i * kArity + 1) {
    std::size_t least = first;
    const std::size_t end = std::min(first + kArity, heap_.size());
    for (std::size_t child = first + 1; child < end; ++child)
      if (heap_[child].before(heap_[least])) least = child;
    if (!heap_[least].before(moving)) break;
    place(i, heap_[least]);
    i = least;
  }
  place(i, moving);
}

}  // namespace collapsar

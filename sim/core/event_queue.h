// EventQueue: the clock of the simulated machine and its agenda.
//
// Models:      nothing. Every model that acts at a later moment owns a named Event and schedules it here.
// Time:        now() never goes back. Order is total: time, then phase, then first scheduled.
// Owns:        the agenda; Events belong to the models that handle them and must outlive their stay on it.
//
// Going on inline: a model whose next step is due at `t` asks try_advance(t). If nobody else is due at or before `t`,
// the clock moves to `t` and the model goes on without a trip through the agenda; else it schedules its Event. Both
// ways give the same results to the byte; with one_event_per_step the answer is always "no", and a test holds the two
// together. In the same way a handler that ends with an answer due now may run it right there, if is_next() says that it
// would be next anyway.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "sim/core/error.h"
#include "sim/core/units.h"

namespace collapsar {

// Who acts first at the same tick.
enum class Phase : std::uint8_t { completion, kernel, cpu, observe };

class EventQueue;

// One moment at which a model can act. A member of that model: `Event wake_ = event<&Khugepaged::wake>(this,
// "khugepaged.wake", Phase::kernel);`
class Event {
 public:
  using Handler = void (*)(void*);
  Event(void* owner, Handler handler, const char* name, Phase phase)
      : owner_(owner), handler_(handler), name_(name), phase_(phase) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { SIM_ASSERT(!pending(), "event {} destroyed while scheduled", name_); }

  bool pending() const { return place_ != kIdle; }
  Time when() const { return when_; }  // Requires: pending().
  const char* name() const { return name_; }
  Phase phase() const { return phase_; }

 private:
  friend class EventQueue;
  static constexpr std::uint32_t kIdle = ~0U, kNear = kIdle - 1;
  void* owner_;
  Handler handler_;
  const char* name_;
  Time when_{};
  std::uint64_t order_ = 0;      // phase in the top byte, schedule sequence below
  std::uint32_t place_ = kIdle;  // on the agenda: kNear, or where in the heap
  Phase phase_;
};

// Makes the Event that calls `owner->Method()`.
template <auto Method, class Owner>
Event event(Owner* owner, const char* name, Phase phase) {
  return Event(
      owner, [](void* self) { (static_cast<Owner*>(self)->*Method)(); }, name, phase);
}

class EventQueue {
 public:
  explicit EventQueue(bool one_event_per_step = false)
      : one_event_per_step_(one_event_per_step), inline_limit_(usual_limit()) {}
  EventQueue(const EventQueue&) = delete;
  EventQueue& operator=(const EventQueue&) = delete;
  ~EventQueue() { clear(); }

  Time now() const { return now_; }
  // When the next event is due; kNever if none.
  Time next_time() const { return near_when_[near_count_]; }
  bool one_event_per_step() const { return one_event_per_step_; }

  // Requires: `event` is not pending, `when` >= now().
  void schedule(Event& event, Time when) {
    SIM_ASSERT(!event.pending(), "event {} scheduled twice", event.name_);
    SIM_ASSERT(when >= now_, "event {} scheduled {} ps in the past", event.name_, (now_ - when).count());
    event.when_ = when;
    event.order_ = (std::uint64_t(event.phase_) << kPhaseShift) | next_sequence_++;
    insert(when, event);
  }
  void schedule_after(Event& event, Duration delay) { schedule(event, now_ + delay); }
  // Takes `event` off the agenda; nothing happens if it is not pending.
  void cancel(Event& event);
  // Takes everything off the agenda. Whoever destroys models before their queue calls this first.
  void clear();
  void reschedule(Event& event, Time when) { cancel(event), schedule(event, when); }

  // Moves the clock to `when` if nobody is due at or before it. See the head of this file. Says no after stop() and
  // beyond the end of run_until(), so that both ways end at the same step.
  bool try_advance(Time when) {
    if (when > inline_limit_ || next_time() <= when) return false;
    SIM_ASSERT(when >= now_, "clock would go back from {} to {} ps", now_.time_since_epoch().count(),
               when.time_since_epoch().count());
    now_ = when;
    return true;
  }

  // The last tick that try_advance() would go to; before now() if there is none.
  Time inline_until() const { return std::min(inline_limit_, next_time() - Duration(1)); }

  // Whether an event of `phase`, scheduled by the running handler for now, would be the very next.
  bool is_next(Phase phase) const {
    if (!may_nest_ || inline_limit_ < now_) return false;
    return next_time() > now_ || near_[near_count_]->phase_ > phase;
  }
  // Does what schedule(event, now()) would, but without the agenda; nothing may be left for the caller to do. Of several
  // in order all but the last say so: while those run, others are due now. Requires: is_next() when the first was run,
  // and `event` is not pending.
  void run_here(Event& event, bool is_last = true);

  // Runs events in order until stop() is called or the agenda is empty. Returns false if it ran empty.
  bool run();
  // Runs the one next event. Returns false if there is none.
  bool run_one();
  void stop() { stopped_ = true, inline_limit_ = kNoTime; }
  // Runs all events due at or before `until`, then moves the clock there, unless stop() is called. For tests and for
  // stepping from outside.
  void run_until(Time until);

  std::uint64_t events_run() const { return events_run_; }
  const char* current_name() const { return current_name_; }  // of the running event, "" outside
  // The queue whose event this thread runs now; nullptr outside. For the message of a failed assertion.
  static const EventQueue* running();

 private:
  struct Entry {
    Time when;
    Event* event;
    bool before(const Entry& o) const { return when != o.when ? when < o.when : event->order_ < o.event->order_; }
  };
  class Running;  // marks this thread as running the queue, for as long as it lives
  static constexpr Time kNoTime = Time::min();
  static constexpr unsigned kPhaseShift = 56;
  Time usual_limit() const { return one_event_per_step_ ? kNoTime : kNever; }
  static constexpr std::uint32_t kNearby =
      32;  // entries in near_; ours: a CPU with its misses and a memory controller have fewer
  void step();
  void insert(Time when, Event& event);
  void refill();
  void push(const Entry& entry);
  void sift_up(std::size_t i);
  void sift_down(std::size_t i);
  void place(std::size_t i, const Entry& e) { heap_[i] = e, e.event->place_ = std::uint32_t(i); }
  void remove_at(std::size_t i);
  void remove_near(const Event& event);

  // The next entries, the first of all at the end, near_count_; then come those of the heap. Place 0 is that of an entry that is
  // never due. Times and events apart: where an entry is written in two pieces and moved as one, the host waits.
  std::array<Time, kNearby + 1> near_when_{kNever};
  std::array<Event*, kNearby + 1> near_{};
  std::uint32_t near_count_ = 0;  // 0 only if nothing is pending
  std::vector<Entry> heap_;       // 4-ary min-heap
  Time now_{};
  std::uint64_t next_sequence_ = 0;
  std::uint64_t events_run_ = 0;
  const char* current_name_ = "";
  bool one_event_per_step_;
  bool stopped_ = false;
  bool may_nest_ = false;  // run_here() has a loop around it that would run the event next
  Time inline_limit_;      // try_advance goes no further
};

}  // namespace collapsar

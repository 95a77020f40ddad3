// TimedRwLock: a reader-writer lock in simulated time, with waiters in order of arrival.
//
// Models:      mmap_lock (rw_semaphore): many readers or one writer; a reader that comes after a waiting writer waits
//              behind it. A waiter's time is counted when it gets the lock.
// Simplified:  no optimistic spinning, no writer stealing; hand-over takes no time of its own.
// Time:        from read()/write() to the waiter's event.
// Source:      Linux locking/rwsem as documented; who blocks whom: khugepaged.md 5.8.
#pragma once

#include <string_view>

#include "sim/core/event_queue.h"
#include "sim/core/span.h"
#include "sim/core/stats.h"

namespace collapsar {

// Who holds or held a lock for write: decides whether a wait counts as a stall by collapse.
enum class LockOwner : std::uint8_t { none, syscall, fault, khugepaged, madvise_collapse, reclaim };

constexpr bool is_collapse(LockOwner o) { return o == LockOwner::khugepaged || o == LockOwner::madvise_collapse; }

// Owned by whoever waits; one wait at a time.
struct LockWaiter {
  Event* granted = nullptr;
  LockOwner owner = LockOwner::none;  // whom it is taken for
  bool counts_as_stall = true;        // false for daemons
  // --- the lock's while waiting ---
  bool is_write = false;
  Time since{};
  LockOwner behind = LockOwner::none;
  LockWaiter* next = nullptr;
};

std::string_view name_of(LockOwner owner);  // "khugepaged"

// Where the waits for a lock are counted, and drawn.
struct LockStalls {
  using Waiter = LockWaiter;
  Histogram* all = nullptr;
  Histogram* by_collapse = nullptr;  // of these, the waits behind khugepaged or MADV_COLLAPSE
  SpanSink* spans = nullptr;         // nullptr: nobody draws
  std::string_view lock{};           // its name
  std::uint32_t pid = 0;             // whose it is
  void record(const Waiter& waiter, Time now) const;
};

class TimedRwLock {
 public:
  using Waiter = LockWaiter;

  TimedRwLock(EventQueue& queue, const LockStalls& stalls) : queue_(queue), stalls_(stalls) {}
  TimedRwLock(EventQueue& queue, Histogram* stall_ns, Histogram* collapse_ns)
      : TimedRwLock(queue, LockStalls{stall_ns, collapse_ns}) {}
  bool try_read();
  bool try_write(LockOwner owner);
  // True: granted at once. False: `waiter.granted` is scheduled (now, at its phase) at the moment the lock is handed
  // over.
  bool read(Waiter& waiter);
  bool write(Waiter& waiter);
  void release_read();
  void release_write();
  void downgrade();  // write -> read
  bool write_locked() const { return writer_; }
  bool read_locked() const { return readers_ > 0; }
  LockOwner writer() const { return writer_owner_; }
  bool has_waiters() const { return first_ != nullptr; }

 private:
  LockOwner owner_ahead() const;
  void enqueue(Waiter& waiter, bool is_write);
  void hand_over();

  EventQueue& queue_;
  LockStalls stalls_;
  std::uint32_t readers_ = 0;
  bool writer_ = false;
  LockOwner writer_owner_ = LockOwner::none;
  Waiter* first_ = nullptr;
  Waiter* last_ = nullptr;
};

}  // namespace collapsar

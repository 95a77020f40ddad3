#include "models/kernel/timed_lock.h"

namespace collapsar {

std::string_view name_of(LockOwner owner) {
  switch (owner) {
    case LockOwner::none: return "none";
    case LockOwner::syscall: return "system call";
    case LockOwner::fault: return "page fault";
    case LockOwner::khugepaged: return "khugepaged";
    case LockOwner::madvise_collapse: return "MADV_COLLAPSE";
    case LockOwner::reclaim: return "reclaim";
  }
  return "";
}

// Daemons' waits are drawn, but are nobody's stall.
void LockStalls::record(const Waiter& waiter, Time now) const {
  if (spans)
    spans->add(
        {{"lock waiters", 0, /*overlaps=*/true},
         lock,
         waiter.since,
         now,
         {SpanNote::count("process", pid), SpanNote::word("waiter", name_of(waiter.owner)),
          SpanNote::word("behind", name_of(waiter.behind)), SpanNote::word("for", waiter.is_write ? "write" : "read"),
          SpanNote::count("counts_as_stall", waiter.counts_as_stall)}});
  if (!waiter.counts_as_stall) return;
  const Duration waited = now - waiter.since;
  if (all) all->add(waited);
  if (by_collapse && is_collapse(waiter.behind)) by_collapse->add(waited);
}

bool TimedRwLock::try_read() {
  if (writer_ || first_) return false;
  ++readers_;
  return true;
}

bool TimedRwLock::try_write(LockOwner owner) {
  if (writer_ || readers_ > 0 || first_) return false;
  writer_ = true;
  writer_owner_ = owner;
  return true;
}

bool TimedRwLock::read(Waiter& waiter) {
  if (try_read()) return true;
  enqueue(waiter, false);
  return false;
}

bool TimedRwLock::write(Waiter& waiter) {
  if (try_write(waiter.owner)) return true;
  enqueue(waiter, true);
  return false;
}

void TimedRwLock::release_read() {
  SIM_ASSERT(readers_ > 0, "a lock that nobody reads is released");
  --readers_;
  hand_over();
}

void TimedRwLock::release_write() {
  SIM_ASSERT(writer_, "a lock that nobody writes is released");
  writer_ = false;
  writer_owner_ = LockOwner::none;
  hand_over();
}

void TimedRwLock::downgrade() {
  SIM_ASSERT(writer_, "a lock that nobody writes is downgraded");
  writer_ = false;
  writer_owner_ = LockOwner::none;
  ++readers_;
  hand_over();
}

// Whom a newcomer waits for: a collapse, if one holds the lock for write or will get it before the newcomer; else the
// writer.
LockOwner TimedRwLock::owner_ahead() const {
  if (writer_ && is_collapse(writer_owner_)) return writer_owner_;
  for (const Waiter* w = first_; w; w = w->next)
    if (w->is_write && is_collapse(w->owner)) return w->owner;
  return writer_owner_;
}

void TimedRwLock::enqueue(Waiter& waiter, bool is_write) {
  SIM_ASSERT(waiter.granted && !waiter.granted->pending(), "a lock is waited for without a free event");
  waiter.is_write = is_write;
  waiter.since = queue_.now();
  waiter.behind = owner_ahead();
  waiter.next = nullptr;
  (last_ ? last_->next : first_) = &waiter;
  last_ = &waiter;
}

// The lock changes hands here and now; the new holder learns of it by its event.
void TimedRwLock::hand_over() {
  while (first_ && !writer_ && !(first_->is_write && readers_ > 0)) {
    Waiter& waiter = *first_;
    first_ = waiter.next;
    if (!first_) last_ = nullptr;
    waiter.next = nullptr;
    if (waiter.is_write) writer_ = true, writer_owner_ = waiter.owner;
    else ++readers_;
    stalls_.record(waiter, queue_.now());
    queue_.schedule(*waiter.granted, queue_.now());
  }
}

}  // namespace collapsar

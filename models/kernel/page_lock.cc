#include "models/kernel/page_lock.h"

namespace collapsar {

bool PageLocks::try_lock(Pfn pfn) {
  Frame& frame = kernel_.memory.frame(pfn);
  if (frame.is(Frame::kLocked)) return false;
  frame.set(Frame::kLocked);
  return true;
}

void PageLocks::unlock(Pfn pfn) {
  Frame& frame = kernel_.memory.frame(pfn);
  SIM_ASSERT(frame.is(Frame::kLocked), "frame {:#x} is unlocked but not locked", pfn.value);
  frame.clear(Frame::kLocked);
  const auto it = waiters_.find(pfn.value);
  if (it == waiters_.end()) return;
  const std::vector<Event*> woken = std::move(it.value());
  waiters_.erase(it);
  for (Event* event : woken) kernel_.queue.schedule(*event, kernel_.queue.now());
}

void PageLocks::wait(Pfn pfn, Event& unlocked) {
  SIM_ASSERT(kernel_.memory.frame(pfn).is(Frame::kLocked), "frame {:#x} is waited for but not locked", pfn.value);
  waiters_[pfn.value].push_back(&unlocked);
}

}  // namespace collapsar

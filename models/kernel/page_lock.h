// PageLocks: sleeping on a locked page (swap I/O, collapse or migration under way) until it is unlocked.
#pragma once

#include <tsl/robin_map.h>

#include <vector>

#include "models/kernel/kernel_context.h"

namespace collapsar {

class PageLocks {
 public:
  explicit PageLocks(KernelContext& kernel) : kernel_(kernel) {}
  bool try_lock(Pfn pfn);               // sets Frame::kLocked
  void unlock(Pfn pfn);                 // schedules everyone who waits, in order, now
  void wait(Pfn pfn, Event& unlocked);  // Requires: locked

 private:
  KernelContext& kernel_;
  tsl::robin_map<std::uint64_t, std::vector<Event*>> waiters_;
};

}  // namespace collapsar

// What tests of a CPU share: one thread's trace, what a reference takes, and something done at a moment.
#pragma once

#include "tests/support/cpu_bench.h"

namespace collapsar::test {

inline constexpr Duration kCycle = CpuBench::kCycle;
inline constexpr Duration kMemory = ns(100);  // of a read
inline constexpr Duration kFault = ns(1000);
inline const Duration kL1 = CachesConfig{}.l1d.latency * kCycle;
inline const Duration kMiss = kL1 + kMemory;

inline VirtAddr line(std::uint64_t number) { return kBase + number * 64; }

inline PaperTrace trace_of(const std::vector<Record>& records) {
  PaperTrace t;
  t.process(1);
  t.run(1, 1, records);
  return t;
}

// Does `action` at a moment, in the kernel's phase.
struct At {
  At(CpuBench& b, Duration after, std::function<void()> a) : queue(b.queue), action(std::move(a)) {
    queue.schedule(event_, kTimeZero + after);
  }
  ~At() { queue.cancel(event_); }
  void run() { action(); }
  EventQueue& queue;
  std::function<void()> action;
  Event event_ = event<&At::run>(this, "test.at", Phase::kernel);
};

}  // namespace collapsar::test

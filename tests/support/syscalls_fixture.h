// What the tests of system calls share: one process on a KernelBench, with THP off or on.
#pragma once

#include <string>

#include "tests/support/kernel_bench.h"

namespace collapsar::test {

struct SyscallsBase {
  using Op = KernelBench::Op;
  SyscallsBase(ThpEnabled enabled, std::string version) : bench(config_for(std::move(version), enabled)) {}
  SyscallRequest request(Op op, VirtAddr address, std::uint64_t length) {
    return KernelBench::request(op, task, address, length);
  }
  SyscallRequest advice(Advice what, std::uint64_t pages, VirtAddr from = kBase) {
    return KernelBench::advice(task, what, from, pages * kPageBytes);
  }
  VirtRange touched(std::uint64_t pages, Access access = Access::write) {
    const VirtRange range = bench.map(task, kBase, pages * kPageBytes);
    bench.touch_all(task, range, access);
    bench.shootdown.flushes.clear();
    return range;
  }
  Pte entry(std::uint64_t page) { return bench.entry(task, at(page)); }
  Frame& frame(std::uint64_t page) { return bench.memory.frame(entry(page).pfn()); }

  KernelBench bench;
  const KernelCosts& costs = bench.costs();
  TaskId task = bench.process();
  AddressSpace& mm = bench.mm(task);
};

struct SyscallsTest : SyscallsBase, testing::Test {
  SyscallsTest() : SyscallsBase(ThpEnabled::never, "6.12") {}
  ~SyscallsTest() override { bench.kernel.check(); }
};
struct SyscallsHuge : SyscallsBase, testing::TestWithParam<const char*> {
  SyscallsHuge() : SyscallsBase(ThpEnabled::always, GetParam()) {}
  ~SyscallsHuge() override { bench.kernel.check(); }
};

}  // namespace collapsar::test

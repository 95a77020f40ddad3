#include "models/kernel/process.h"

#include <gtest/gtest.h>

#include "tests/support/kernel_bench.h"

namespace collapsar::test {
namespace {

using Op = KernelBench::Op;

struct ProcessTest : testing::Test {
  ~ProcessTest() override { bench.kernel.check(); }
  KernelBench bench;
  TaskId task = bench.process(7);
};

TEST_F(ProcessTest, TasksOfAProcessShareItsAddressSpace) {
  SyscallRequest r = KernelBench::request(Op::thread, task);
  bench.call(r);
  EXPECT_NE(r.new_task, task);
  EXPECT_EQ(&bench.mm(r.new_task), &bench.mm(task));
  bench.call(KernelBench::request(Op::thread_exit, r.new_task));
  EXPECT_EQ(bench.kernel.processes().of(task).tasks, std::vector<TaskId>{task});
}

TEST_F(ProcessTest, ForkCopiesTheImage) {
  bench.map(task, kBase, 2 * kPageBytes);
  SyscallRequest room = KernelBench::request(Op::heap_room, task, {0x20000000}, 1 << 20);
  bench.now(room);
  SyscallRequest off = KernelBench::request(Op::thp_disable, task);
  off.value = 1;
  bench.call(off);
  const TaskId child = bench.fork(task, 8);
  AddressSpace& mm = bench.mm(child);
  EXPECT_NE(mm.asid(), bench.mm(task).asid());
  EXPECT_EQ(mm.pid(), 8U);
  EXPECT_EQ(mm.vmas().size(), 1U);
  EXPECT_EQ(mm.heap_room.start.value, 0x20000000U);
  EXPECT_TRUE(mm.thp_disabled());
  EXPECT_EQ(mm.mappings().size(), bench.mm(task).mappings().size());
  EXPECT_EQ(bench.kernel.processes().by_pid(8), &bench.kernel.processes().of(child));
}

TEST_F(ProcessTest, ExecBeginsAFreshAddressSpace) {
  const VirtRange range = bench.map(task, kBase, 8 * kPageBytes);
  bench.touch_all(task, range);
  const Asid old_asid = bench.mm(task).asid();
  const std::uint64_t free = bench.memory.free_pages();
  AddressSpace& old_mm = bench.mm(task);
  SyscallRequest r = KernelBench::request(Op::exec, task);
  r.name = "/usr/bin/sort";
  bench.call(r);
  EXPECT_TRUE(old_mm.exited());
  EXPECT_EQ(old_mm.anon_rss, 0U);
  EXPECT_NE(bench.mm(task).asid(), old_asid);
  EXPECT_TRUE(bench.mm(task).vmas().empty());
  EXPECT_EQ(bench.kernel.processes().of(task).name, "sort");
  EXPECT_EQ(bench.shootdown.forgotten, std::vector<Asid>{old_asid});
  EXPECT_EQ(bench.memory.free_pages(), free + 8 + 3 - 1);  // pages and three tables; a new root
  EXPECT_EQ(bench.kernel.syscalls().root_of(task).asid, bench.mm(task).asid());
}

TEST_F(ProcessTest, ExitLeavesNothingButTheRootTable) {
  const std::uint64_t free = bench.memory.free_pages();
  bench.touch_all(task, bench.map(task, kBase, 8 * kPageBytes));
  AddressSpace& mm = bench.mm(task);
  bench.call(KernelBench::request(Op::exit, task));
  EXPECT_EQ(bench.memory.free_pages(), free);
  EXPECT_EQ(mm.table().table_pages(), 1U);
  EXPECT_TRUE(mm.exited() && mm.vmas().empty());
  EXPECT_EQ(bench.kernel.processes().mm_of(task), nullptr);
  EXPECT_EQ(bench.kernel.syscalls().root_of(task).table, nullptr);
  SyscallRequest after = KernelBench::request(Op::munmap, task, kBase, kPageBytes);
  bench.call(after);
  EXPECT_EQ(after.error, ESRCH);
}

TEST_F(ProcessTest, ThePagesOfAParentOutliveIt) {
  bench.touch_all(task, bench.map(task, kBase, 8 * kPageBytes));
  const TaskId child = bench.fork(task, 8);
  bench.call(KernelBench::request(Op::exit, task));
  EXPECT_EQ(bench.mm(child).anon_rss, 8U);
  const Pfn shared = bench.entry(child, kBase).pfn();
  EXPECT_EQ(bench.memory.frame(shared).mapcount, 1U);
  bench.touch(child, kBase);
  EXPECT_EQ(bench.entry(child, kBase).pfn(), shared);  // sole user: taken over, not copied
}

}  // namespace
}  // namespace collapsar::test

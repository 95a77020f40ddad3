// MADV_COLLAPSE meets dirty pages of a file: from 7.1 on it waits for them to be written, and tries once more
// (khugepaged.md 6).
#include <cerrno>

#include "tests/support/kernel_bench.h"
#include "tests/support/versions.h"

namespace collapsar::test {
namespace {

using namespace std::chrono_literals;

constexpr FileId kFile = 7;

BenchConfig config_of_write_back(const std::string& version) {
  BenchConfig config = config_for(version);
  config.kernel.costs.file_write = 1ms;  // long after everything else that happens meanwhile
  return config;
}

class WriteBack : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    SyscallRequest r = KernelBench::request(KernelBench::Op::mmap, task, kBase, 2 * kHugeBytes);
    r.map_flags = 1;  // MAP_SHARED
    r.file = kFile;
    r.prot = Vma::kRead | Vma::kExec;
    bench.call(r);
    bench.touch_all(task, {at(0), at(2 * kHugePages)}, Access::read);
    bench.drain_lru();
  }
  ~WriteBack() override { bench.kernel.check(); }
  Frame& frame(std::uint64_t page) { return bench.memory.frame(*bench.kernel.page_cache().find_page(kFile, page)); }
  void make_dirty(std::uint64_t first, std::uint64_t count) {
    for (std::uint64_t i = first; i < first + count; ++i) frame(i).set(Frame::kDirty);
  }
  // Begins MADV_COLLAPSE, and goes on until page `page` is being written. Returns when that began.
  Time advise_until_writing(std::uint64_t page, std::uint64_t ranges = 1) {
    call = KernelBench::advice(task, Advice::collapse, kBase, ranges * kHugeBytes);
    call.done = &done.event;
    bench.kernel.syscalls().syscall(call);
    while (!frame(page).is(Frame::kWriteback)) EXPECT_TRUE(bench.queue.run_one());
    return bench.queue.now();
  }
  bool is_huge(std::uint64_t page = 0) { return bench.mm(task).table().pmd_is_huge(at(page)); }
  std::uint64_t attempts() { return bench.stats().vmstat.thp_collapse_alloc; }

  KernelBench bench{config_of_write_back(GetParam())};
  TaskId task = bench.process();
  SyscallRequest call;
  Signal done{bench.queue};
};

class WriteBackRetry : public WriteBack {};

TEST_P(WriteBackRetry, WaitsForAllDirtyPagesOfTheRangeAndCollapsesThen) {
  make_dirty(5, 3);
  const Time began = advise_until_writing(5);
  const Time written = began + 3 * bench.costs().file_write;
  bench.queue.run_until(written - kTick);
  EXPECT_FALSE(done.arrived());
  EXPECT_TRUE(frame(5).is(Frame::kWriteback) && frame(7).is(Frame::kWriteback));
  EXPECT_FALSE(bench.mm(task).mmap_lock().read_locked()) << "nobody else has to wait";
  EXPECT_EQ(attempts(), 1U);
  bench.queue.run_until(written);
  EXPECT_FALSE(frame(5).is(Frame::kWriteback));
  bench.run_until(done);
  EXPECT_EQ(call.error, 0);
  EXPECT_TRUE(is_huge());
  EXPECT_EQ(attempts(), 2U);
  const auto& sleeps = bench.cpus.sleeps;
  const auto woken =
      std::find_if(sleeps.begin(), sleeps.end(), [&](const FakeCpus::Sleep& s) { return s.at == written; });
  ASSERT_NE(woken, sleeps.end());
  EXPECT_TRUE(woken->wakes && woken->task == task);
}

TEST_P(WriteBackRetry, TriesAgainOnlyOnce) {
  make_dirty(5, 1);
  const Time began = advise_until_writing(5);
  bench.queue.run_until(began + bench.costs().file_write - kTick);
  make_dirty(6, 1);
  bench.run_until(done);
  EXPECT_EQ(call.error, EAGAIN);
  EXPECT_FALSE(is_huge());
  EXPECT_EQ(attempts(), 2U);
  bench.wait(2 * bench.costs().file_write);
}

TEST_P(WriteBackRetry, DoesSoForEachRange) {
  make_dirty(5, 1), make_dirty(kHugePages + 5, 1);
  advise_until_writing(5, 2);
  bench.run_until(done);
  EXPECT_EQ(call.error, 0);
  EXPECT_TRUE(is_huge(0) && is_huge(kHugePages));
  // Meeting the first dirty page has started the writing of the whole file: the second range was clean by then.
  EXPECT_EQ(attempts(), 3U);
}

TEST_P(WriteBackRetry, KhugepagedDoesNotWait) {
  make_dirty(5, 1);
  FileCollapse::Request request;
  request.mm = &bench.mm(task);
  request.base = at(0);
  request.file = kFile;
  request.done = &done.event;
  bench.kernel.file_collapse().scan_and_collapse(request);
  bench.run_until(done);
  EXPECT_EQ(request.result, ScanResult::PAGE_DIRTY_OR_WRITEBACK);
  EXPECT_TRUE(frame(5).is(Frame::kWriteback));
  bench.wait(bench.costs().file_write);
}

INSTANTIATE_TEST_SUITE_P(Kernels, WriteBackRetry, testing::Values("7.1"));

class WriteBackFailure : public WriteBack {};

TEST_P(WriteBackFailure, EndsTheCallWhereThereIsNoRetry) {
  make_dirty(5, 1);
  const Time began = advise_until_writing(5);
  bench.run_until(done);
  EXPECT_EQ(call.error, EINVAL);
  EXPECT_LT(done.at, began + bench.costs().file_write);
  EXPECT_EQ(attempts(), 1U);
  bench.wait(bench.costs().file_write);
}

INSTANTIATE_TEST_SUITE_P(Kernels, WriteBackFailure, testing::Values("6.1", "6.12", "6.18", "6.19"));

}  // namespace
}  // namespace collapsar::test

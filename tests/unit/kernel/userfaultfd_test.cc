#include <cerrno>

#include "tests/support/syscalls_fixture.h"

namespace collapsar::test {
namespace {

using Op = KernelBench::Op;

struct UserfaultfdTest : SyscallsTest {
  int uffd(UffdMode mode, std::uint64_t from_page, std::uint64_t pages) {
    SyscallRequest r = request(Op::userfaultfd, kBase + from_page * kPageBytes, pages * kPageBytes);
    r.value = std::uint64_t(mode);
    bench.call(r);
    return r.error;
  }
};

TEST_F(UserfaultfdTest, ArmingCutsTheVmaAndDisarmingMergesItAgain) {
  touched(10);
  EXPECT_EQ(uffd(UffdMode::missing, 2, 3), 0);
  EXPECT_EQ(mm.vmas().size(), 3U);
  EXPECT_TRUE(mm.find(kBase + 2 * kPageBytes)->is(Vma::kUffdMissing));
  EXPECT_EQ(uffd(UffdMode::off, 0, 10), 0);
  EXPECT_EQ(mm.vmas().size(), 1U);
}

TEST_F(UserfaultfdTest, OnlyMappedAndArmedMemoryCanBeWatched) {
  touched(2);
  EXPECT_EQ(uffd(UffdMode::missing, 4, 1), ENOMEM);
  EXPECT_EQ(uffd(UffdMode::protect, 0, 1), ENOENT);
}

TEST_F(UserfaultfdTest, AProtectedPageIsMarkedInItsEntryAlsoOnSwap) {
  touched(2);
  ASSERT_EQ(uffd(UffdMode::wp, 0, 2), 0);
  ASSERT_EQ(uffd(UffdMode::protect, 1, 1), 0);
  EXPECT_TRUE(entry(0).writable());
  EXPECT_FALSE(entry(1).writable());
  bench.call(advice(Advice::pageout, 2));
  bench.wait(std::chrono::milliseconds(1));
  EXPECT_TRUE(entry(1).swap() && (entry(1).bits & Pte::kUffdWp));
  bench.touch(task, kBase + kPageBytes, Access::read);
  EXPECT_TRUE(entry(1).present() && (entry(1).bits & Pte::kUffdWp));
}

TEST_F(UserfaultfdTest, AChildIsNotWatched) {
  touched(1);
  ASSERT_EQ(uffd(UffdMode::wp, 0, 1), 0);
  ASSERT_EQ(uffd(UffdMode::protect, 0, 1), 0);
  const TaskId child = bench.fork(task, 2);
  EXPECT_FALSE(bench.entry(child, kBase).bits & Pte::kUffdWp);
  EXPECT_TRUE(entry(0).bits & Pte::kUffdWp);
}

TEST_F(UserfaultfdTest, AFaultThatNobodyAnswersEndsTheRun) {
  bench.map(task, kBase, kPageBytes);
  ASSERT_EQ(uffd(UffdMode::missing, 0, 1), 0);
  EXPECT_THROW(bench.touch(task, kBase), SimulationError);
}

}  // namespace
}  // namespace collapsar::test

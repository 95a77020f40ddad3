#include "models/kernel/timed_lock.h"

#include <gtest/gtest.h>

#include "tests/support/kernel_bench.h"

namespace collapsar::test {
namespace {

using std::chrono::nanoseconds;

struct TimedLock : testing::Test {
  TimedRwLock::Waiter waiter(Signal& signal, LockOwner owner = LockOwner::syscall, bool counts = true) {
    return {.granted = &signal.event, .owner = owner, .counts_as_stall = counts};
  }
  void run_until(Duration at) { queue.run_until(Time(at)); }

  EventQueue queue;
  Histogram stall, collapse;
  TimedRwLock lock{queue, &stall, &collapse};
  Signal first{queue}, second{queue}, third{queue};
};

TEST_F(TimedLock, ReadersShareAndAWriterWaitsForTheLast) {
  ASSERT_TRUE(lock.try_read());
  ASSERT_TRUE(lock.try_read());
  auto writer = waiter(first);
  EXPECT_FALSE(lock.write(writer));
  run_until(nanoseconds(10));
  lock.release_read();
  run_until(nanoseconds(20));
  EXPECT_FALSE(first.arrived());
  lock.release_read();
  EXPECT_TRUE(lock.write_locked());  // handed over at once; the event follows at the same moment
  run_until(nanoseconds(30));
  EXPECT_EQ(first.at, Time(nanoseconds(20)));
  EXPECT_EQ(stall.sum(), 20U);
  EXPECT_EQ(collapse.count(), 0U);
}

TEST_F(TimedLock, AReaderBehindAWaitingWriterWaitsToo) {
  ASSERT_TRUE(lock.try_read());
  auto writer = waiter(first), reader = waiter(second);
  EXPECT_FALSE(lock.write(writer));
  EXPECT_FALSE(lock.try_read());
  EXPECT_FALSE(lock.read(reader));
  lock.release_read();
  queue.run();
  EXPECT_TRUE(first.arrived());
  EXPECT_FALSE(second.arrived());
  lock.release_write();
  queue.run();
  EXPECT_TRUE(second.arrived());
  EXPECT_TRUE(lock.read_locked());
}

TEST_F(TimedLock, ReadersInARowAreLetInTogether) {
  ASSERT_TRUE(lock.try_write(LockOwner::syscall));
  auto a = waiter(first), b = waiter(second), writer = waiter(third);
  EXPECT_FALSE(lock.read(a));
  EXPECT_FALSE(lock.read(b));
  EXPECT_FALSE(lock.write(writer));
  lock.release_write();
  queue.run();
  EXPECT_TRUE(first.arrived() && second.arrived());
  EXPECT_FALSE(third.arrived());
}

TEST_F(TimedLock, ADowngradeLetsReadersInAndKeepsWritersOut) {
  ASSERT_TRUE(lock.try_write(LockOwner::syscall));
  auto reader = waiter(first), writer = waiter(second);
  EXPECT_FALSE(lock.read(reader));
  EXPECT_FALSE(lock.write(writer));
  lock.downgrade();
  queue.run();
  EXPECT_TRUE(first.arrived());
  EXPECT_FALSE(second.arrived());
}

TEST_F(TimedLock, WaitsBehindACollapseAreCountedTwice) {
  ASSERT_TRUE(lock.try_write(LockOwner::khugepaged));
  auto reader = waiter(first);
  EXPECT_FALSE(lock.read(reader));
  run_until(nanoseconds(7));
  lock.release_write();
  EXPECT_EQ(stall.sum(), 7U);
  EXPECT_EQ(collapse.sum(), 7U);
  queue.run();
}

TEST_F(TimedLock, AWaitBehindACollapseThatIsItselfStillWaitingCounts) {
  ASSERT_TRUE(lock.try_read());
  auto collapser = waiter(first, LockOwner::madvise_collapse), reader = waiter(second);
  EXPECT_FALSE(lock.write(collapser));
  EXPECT_FALSE(lock.read(reader));
  lock.release_read();
  run_until(nanoseconds(5));
  lock.release_write();
  EXPECT_EQ(collapse.sum(), 5U);
  queue.run();
}

TEST_F(TimedLock, DaemonsAreNotStalled) {
  ASSERT_TRUE(lock.try_write(LockOwner::syscall));
  auto daemon = waiter(first, LockOwner::khugepaged, false);
  EXPECT_FALSE(lock.write(daemon));
  run_until(nanoseconds(5));
  lock.release_write();
  EXPECT_EQ(stall.count(), 0U);
  EXPECT_EQ(lock.writer(), LockOwner::khugepaged);
  queue.run();
}

TEST_F(TimedLock, NobodyOvertakesTheQueue) {
  ASSERT_TRUE(lock.try_write(LockOwner::syscall));
  auto reader = waiter(first);
  EXPECT_FALSE(lock.read(reader));
  EXPECT_FALSE(lock.try_write(LockOwner::fault));
  EXPECT_TRUE(lock.has_waiters());
  lock.release_write();
  EXPECT_FALSE(lock.has_waiters());
  queue.run();
}

}  // namespace
}  // namespace collapsar::test

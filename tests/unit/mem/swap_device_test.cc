#include "models/mem/swap_device.h"

#include <gtest/gtest.h>

#include <deque>

namespace collapsar {
namespace {

SwapConfig device(SwapKind kind, std::uint64_t slots = 4096) {
  SwapConfig config;
  config.device = kind;
  config.size = Bytes{slots * kPageBytes};
  return config;
}

struct SwapBench {
  explicit SwapBench(const SwapConfig& config, std::uint64_t seed = 1) : swap(queue, config, seed) {}
  struct Access {
    explicit Access(SwapBench& owner) : bench(owner) { request.done = &done; }
    void answered() { finished = bench.queue.now(); }
    SwapBench& bench;
    SwapRequest request;
    Time finished = kNever;
    Event done = event<&Access::answered>(this, "test.answered", Phase::kernel);
  };
  Access& submit(bool is_write = false, std::uint32_t pages = 1) {
    Access& access = accesses.emplace_back(*this);
    access.request.is_write = is_write;
    access.request.pages = pages;
    swap.submit(access.request);
    return access;
  }
  EventQueue queue;
  SwapDevice swap;
  std::deque<Access> accesses;
};

TEST(SwapSlots, AreTakenFromTheLowestClusterWithRoom) {
  SwapBench bench(device(SwapKind::nvme, 3 * 512));
  for (SwapSlot i = 0; i < 513; ++i) EXPECT_EQ(bench.swap.allocate(), i);
  EXPECT_TRUE(bench.swap.release(7));
  EXPECT_EQ(bench.swap.free_slots(), 3 * 512 - 512U);
  EXPECT_EQ(bench.swap.allocate(), 7U);
  EXPECT_EQ(bench.swap.allocate(), 513U);
}

TEST(SwapSlots, HugePagesTakeAWholeAlignedCluster) {
  SwapBench bench(device(SwapKind::nvme, 3 * 512 + 100));
  EXPECT_EQ(bench.swap.allocate(), 0U);
  EXPECT_EQ(bench.swap.allocate_huge(), 512U);
  EXPECT_EQ(bench.swap.users(512), 1U);
  EXPECT_EQ(bench.swap.users(1023), 1U);
  EXPECT_EQ(bench.swap.allocate_huge(), 1024U);
  EXPECT_EQ(bench.swap.allocate_huge(), std::nullopt);  // 0 is in use, the last has 100 slots
  EXPECT_TRUE(bench.swap.release(0));
  EXPECT_EQ(bench.swap.allocate_huge(), 0U);
  EXPECT_EQ(bench.swap.allocate(), 3 * 512U);
}

TEST(SwapSlots, EndWhenTheDeviceIsFull) {
  SwapBench bench(device(SwapKind::nvme, 100));
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(bench.swap.allocate());
  EXPECT_EQ(bench.swap.allocate(), std::nullopt);
  EXPECT_EQ(bench.swap.free_slots(), 0U);
  EXPECT_TRUE(bench.swap.release(99));
  EXPECT_EQ(bench.swap.allocate(), 99U);
}

TEST(SwapSlots, AreFreeWhenTheLastUserIsGone) {
  SwapBench bench(device(SwapKind::nvme));
  const SwapSlot slot = bench.swap.allocate().value();
  bench.swap.duplicate(slot);
  EXPECT_EQ(bench.swap.users(slot), 2U);
  EXPECT_FALSE(bench.swap.release(slot));
  EXPECT_TRUE(bench.swap.release(slot));
  EXPECT_EQ(bench.swap.users(slot), 0U);
  EXPECT_DEATH(bench.swap.release(slot), "not in use");
}

TEST(SwapSlots, WorkOnATebibyte) {
  SwapBench bench(device(SwapKind::nvme, kTiB / kPageBytes));
  EXPECT_EQ(bench.swap.slots(), kTiB / kPageBytes);
  for (int i = 0; i < 1000; ++i) bench.swap.allocate_huge();
  EXPECT_EQ(bench.swap.allocate(), 512'000U);
}

TEST(SwapDevice, NoneHasNoSlots) {
  SwapBench bench(device(SwapKind::none));
  EXPECT_FALSE(bench.swap.present());
  EXPECT_EQ(bench.swap.allocate(), std::nullopt);
  EXPECT_EQ(bench.swap.allocate_huge(), std::nullopt);
}

TEST(SwapDevice, IdealAnswersAtOnce) {
  SwapBench bench(device(SwapKind::ideal));
  SwapBench::Access& read = bench.submit(false, 8);
  bench.queue.run();
  EXPECT_EQ(read.finished, kTimeZero);
  EXPECT_TRUE(bench.swap.is_synchronous());
}

// Mean of lone requests, us.
double mean_us(const SwapConfig& config, bool is_write, int requests) {
  SwapBench bench(config);
  for (int i = 0; i < requests; ++i) {
    bench.submit(is_write);
    bench.queue.run();
  }
  return double(bench.queue.now().time_since_epoch().count()) / 1e6 / requests;
}

TEST(SwapDevice, LoneRequestsTakeTheMeanOfTheirPreset) {
  EXPECT_NEAR(mean_us(device(SwapKind::nvme), false, 20'000), 45.7, 0.2);
  EXPECT_NEAR(mean_us(device(SwapKind::nvme), true, 20'000), 12.9, 0.1);
  EXPECT_NEAR(mean_us(device(SwapKind::ssd), false, 20'000), 100, 0.5);
  EXPECT_NEAR(mean_us(device(SwapKind::zram), false, 20'000), 1.708, 0.02);
}

TEST(SwapDevice, LoneRequestsTakeTheConfiguredMean) {
  SwapConfig config = device(SwapKind::nvme);
  config.read = std::chrono::microseconds(80);
  EXPECT_NEAR(mean_us(config, false, 20'000), 80, 0.4);
}

TEST(SwapDevice, ReadsHaveThePercentilesOfThePreset) {
  SwapBench bench(device(SwapKind::nvme));
  std::vector<Time::duration> times;
  for (int i = 0; i < 100'000; ++i) {
    const Time start = bench.queue.now();
    SwapBench::Access& read = bench.submit();
    bench.queue.run();
    times.push_back(read.finished - start);
    bench.accesses.clear();
  }
  std::sort(times.begin(), times.end());
  EXPECT_NEAR(to_ns(times[50'000]), 46'300, 200);
  EXPECT_NEAR(to_ns(times[99'000]), 48'900, 1'000);
  EXPECT_NEAR(to_ns(times[99'900]), 64'300, 7'000);
}

TEST(SwapDevice, WorksOnAsManyRequestsAsItsQueueIsDeepTheRestInOrder) {
  SwapConfig config = device(SwapKind::nvme);
  config.queue_depth = 2;
  SwapBench bench(config);
  for (int i = 0; i < 4; ++i) bench.submit();
  EXPECT_EQ(bench.swap.in_flight(), 4U);
  bench.queue.run();
  EXPECT_EQ(bench.swap.in_flight(), 0U);
  const Time first_free = std::min(bench.accesses[0].finished, bench.accesses[1].finished);
  const Time second_free = std::max(bench.accesses[0].finished, bench.accesses[1].finished);
  EXPECT_GT(bench.accesses[2].finished, first_free);
  EXPECT_GT(bench.accesses[3].finished, second_free);

  // The waiting ones started exactly when the first had gone: the same draws, one device after the other.
  config.queue_depth = 1;
  SwapBench serial(config);
  for (int i = 0; i < 4; ++i) serial.submit();
  serial.queue.run();
  const Duration third = serial.accesses[2].finished - serial.accesses[1].finished;
  EXPECT_EQ(bench.accesses[2].finished, first_free + third);
}

TEST(SwapDevice, TransfersShareTheBandwidth) {
  SwapConfig config = device(SwapKind::nvme);
  config.read = Duration::zero();
  config.bandwidth = Bandwidth{1e9};
  SwapBench bench(config);
  SwapBench::Access& one = bench.submit(false, 8);
  SwapBench::Access& two = bench.submit(false, 8);
  const Duration transfer(8 * 4096 * 1000);  // at a byte per ns
  bench.queue.run_until(Time(transfer) - Duration(1));
  EXPECT_EQ(one.finished, kNever);
  bench.queue.run();
  EXPECT_EQ(one.finished, Time(transfer));
  EXPECT_EQ(two.finished, Time(2 * transfer));
  EXPECT_EQ(bench.swap.stats().reads, 16U);
  EXPECT_EQ(bench.swap.stats().completed, 2U);
}

TEST(SwapDevice, ReachesAboutTheMeasuredRateWithADeepQueue) {
  SwapBench bench(device(SwapKind::nvme));
  for (int i = 0; i < 20'000; ++i) bench.submit();
  bench.queue.run();
  const double per_second = 20'000 / (double(bench.queue.now().time_since_epoch().count()) * 1e-12);
  EXPECT_NEAR(per_second, 584'000, 0.25 * 584'000);  // 990 PRO, fio, depth 32
}

TEST(SwapDevice, TheSameSeedGivesTheSameTimes) {
  SwapBench a(device(SwapKind::nvme), 5), b(device(SwapKind::nvme), 5), c(device(SwapKind::nvme), 6);
  for (SwapBench* bench : {&a, &b, &c}) bench->submit(), bench->queue.run();
  EXPECT_EQ(a.accesses[0].finished, b.accesses[0].finished);
  EXPECT_NE(a.accesses[0].finished, c.accesses[0].finished);
}

TEST(SwapConfig, RefusesImpossibleValues) {
  SwapConfig config;
  EXPECT_NO_THROW(config.validate());
  config.queue_depth = 0;
  EXPECT_THROW(config.validate(), std::invalid_argument);
  config = {};
  config.size = Bytes{17 * kTiB};
  EXPECT_THROW(config.validate(), std::invalid_argument);
  config = {};
  config.page_cluster = 10;
  EXPECT_THROW(config.validate(), std::invalid_argument);
}

}  // namespace
}  // namespace collapsar

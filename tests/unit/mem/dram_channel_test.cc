// What the controller decides: which queue, when a row closes, when a rank refreshes.
#include "models/mem/dram_channel.h"

#include <gtest/gtest.h>

#include <deque>

#include "models/mem/dram.h"
#include "tests/unit/mem/one_rank.h"

namespace collapsar {
namespace {

using Cycle = DramTiming::Cycle;
constexpr std::uint64_t kNextRow = kBanks * kRowBytes;

DramConfig bare_rank() {
  DramConfig config = one_rank();
  config.controller_latency = 0;
  return config;
}

class ChannelBench {
 public:
  explicit ChannelBench(const DramConfig& config) : dram(queue, config), t(dram.timing()) { dram.log_commands(logs); }
  struct Read {
    Read(ChannelBench& owner, std::uint64_t address) : bench(owner) {
      request.address = {address};
      request.done = &done;
      owner.dram.submit(request);
    }
    void answered() { finished = bench.t.cycle_not_before(bench.queue.now()); }
    ChannelBench& bench;
    DramRequest request;
    Cycle finished = -1;
    Event done = event<&Read::answered>(this, "test.answered", Phase::cpu);
  };
  Read& read(std::uint64_t address) { return reads.emplace_back(*this, address); }
  void run_to(Cycle cycle) { queue.run_until(t.time_of(cycle)); }
  Cycle hit() const { return t.cl + t.burst; }
  Cycle miss() const { return t.rcd + hit(); }
  Cycle conflict() const { return t.rp + miss(); }
  std::uint64_t commands(DramCommand command) const {
    return std::uint64_t(std::count_if(logs[0].begin(), logs[0].end(), [&](auto& c) { return c.command == command; }));
  }

  EventQueue queue;
  Dram dram;
  const DramTiming& t;
  std::vector<std::vector<DramCommandRecord>> logs;
  std::deque<Read> reads;
};

// ---- Pages

TEST(DramPages, OpenStaysOpenUntilAnotherRowIsWanted) {
  ChannelBench bench(bare_rank());
  bench.read(0);
  bench.run_to(9000);
  const ChannelBench::Read& read = bench.read(64);
  bench.run_to(9300);
  EXPECT_EQ(read.finished, 9000 + bench.hit());
}

TEST(DramPages, ClosedClosesAsSoonAsNoRequestWantsTheRow) {
  DramConfig config = bare_rank();
  config.page_policy = PagePolicy::closed;
  ChannelBench bench(config);
  bench.read(0);
  const Cycle closed = std::max(bench.t.ras, bench.t.rcd + bench.t.rtp) + bench.t.rp;
  bench.run_to(closed - 1);
  const ChannelBench::Read& read = bench.read(kNextRow);
  bench.run_to(1000);
  EXPECT_EQ(read.finished, closed + bench.miss());  // no precharge of its own, but not before tRP has passed
  EXPECT_EQ(bench.dram.stats().row_misses, 2U);
}

// A second read of the same row, or of another, some cycles after the column of the first.
Cycle second_after(Cycle gap, std::uint64_t address, Cycle timeout) {
  DramConfig config = bare_rank();
  config.page_policy = PagePolicy::timeout;
  config.page_timeout = std::uint32_t(timeout);
  ChannelBench bench(config);
  bench.read(0);
  bench.run_to(bench.t.rcd + gap);
  const ChannelBench::Read& read = bench.read(address);
  bench.run_to(8000);
  return read.finished - (bench.t.rcd + gap);
}

TEST(DramPages, TimeoutClosesAfterAWhileWithoutAccess) {
  constexpr Cycle kTimeout = 500;
  const ChannelBench plain(bare_rank());
  EXPECT_EQ(second_after(kTimeout - 1, 64, kTimeout), plain.hit());
  EXPECT_EQ(second_after(kTimeout, 64, kTimeout), plain.t.rp + plain.miss());  // the precharge has just begun
  EXPECT_EQ(second_after(kTimeout + plain.t.rp, 64, kTimeout), plain.miss());
  EXPECT_EQ(second_after(kTimeout - 1, kNextRow, kTimeout), plain.conflict());
  EXPECT_EQ(second_after(kTimeout + plain.t.rp, kNextRow, kTimeout), plain.miss());
}

// ---- Writes that nobody waits for

TEST(DramWrites, WaitWhileReadsWaitAndGoWhenNoneDoes) {
  ChannelBench bench(bare_rank());
  for (std::uint64_t i = 0; i < 8; ++i) bench.read(i * kNextRow);
  bench.dram.post_write({kRowBytes});
  bench.run_to(5000);
  const auto& log = bench.logs[0];
  const auto write = std::find_if(log.begin(), log.end(), [](auto& c) { return c.command == DramCommand::write; });
  ASSERT_NE(write, log.end());
  EXPECT_EQ(std::count_if(log.begin(), write, [](auto& c) { return c.command == DramCommand::read; }), 8);
}

TEST(DramWrites, GoFirstFromTheHighMarkDownToTheLowMark) {
  DramConfig config = bare_rank();
  config.write_queue = 16, config.write_high = 8, config.write_low = 3;
  for (const std::uint64_t writes : {7U, 8U}) {
    ChannelBench bench(config);
    for (std::uint64_t i = 0; i < 8; ++i) bench.read(i * kNextRow);
    for (std::uint64_t i = 0; i < writes; ++i) bench.dram.post_write({kRowBytes + 64 * i});
    bench.run_to(5000);
    std::string order;  // of the columns
    for (const DramCommandRecord& c : bench.logs[0])
      if (c.command == DramCommand::read || c.command == DramCommand::write)
        order += c.command == DramCommand::read ? 'r' : 'w';
    EXPECT_EQ(order, writes == 7 ? "rrrrrrrrwwwwwww" : "wwwwwrrrrrrrrwww");
    EXPECT_EQ(bench.dram.in_flight(), 0U);
    EXPECT_EQ(bench.dram.held(), 0U);
  }
}

TEST(DramWrites, BeyondTheBufferWaitOutside) {
  DramConfig config = bare_rank();
  config.write_queue = 2, config.write_high = 2, config.write_low = 1;
  ChannelBench bench(config);
  bench.read(0);
  for (std::uint64_t i = 0; i < 100; ++i) bench.dram.post_write({kRowBytes * i});
  EXPECT_EQ(bench.dram.held(), bench.dram.in_flight());
  bench.run_to(9000);
  EXPECT_EQ(bench.commands(DramCommand::write), 100U);
}

TEST(DramWrites, AnswerAReadOfTheirLine) {
  ChannelBench bench(bare_rank());
  bench.read(kNextRow);  // keeps the write waiting
  bench.dram.post_write({64});
  const ChannelBench::Read& same = bench.read(64);
  const ChannelBench::Read& neighbour = bench.read(128);
  bench.run_to(3000);
  EXPECT_EQ(same.finished, 1) << "the controller takes no time here, but a cycle";
  EXPECT_GE(neighbour.finished, bench.miss());
  EXPECT_EQ(bench.dram.stats().forwarded, 1U);
  EXPECT_EQ(bench.commands(DramCommand::read), 2U);
}

// ---- Refresh

TEST(DramRefresh, HoldsARequestThatComesInTheMiddle) {
  ChannelBench bench(bare_rank());
  const Cycle due = bench.t.refi;
  bench.run_to(due + 10);
  const ChannelBench::Read& read = bench.read(0);
  bench.run_to(due + 2000);
  EXPECT_EQ(read.finished, due + bench.t.rfc + bench.miss());
  EXPECT_EQ(bench.dram.stats().refreshes, 1U);
}

TEST(DramRefresh, ClosesTheRowsOfARankThatWasIdle) {
  ChannelBench bench(bare_rank());
  const Cycle due = bench.t.refi;
  bench.read(0);
  bench.run_to(due + 10);
  const ChannelBench::Read& during = bench.read(64);
  bench.run_to(due + 2000);
  EXPECT_EQ(during.finished, due + bench.t.rp + bench.t.rfc + bench.miss());
  bench.run_to(2 * due + 5000);
  const ChannelBench::Read& after = bench.read(64);
  bench.run_to(2 * due + 6000);
  EXPECT_EQ(after.finished, 2 * due + 5000 + bench.miss());
}

TEST(DramRefresh, GoesBeforeRequestsThatWait) {
  ChannelBench bench(bare_rank());
  const Cycle due = bench.t.refi;
  bench.run_to(due - 2);
  bench.read(0);  // activated, and cut short
  bench.run_to(due + 2000);
  EXPECT_EQ(bench.reads[0].finished, due - 2 + bench.t.ras + bench.t.rp + bench.t.rfc + bench.miss());
}

TEST(DramRefresh, OfAnIdleMemoryTakesNoEvents) {
  ChannelBench bench(bare_rank());
  bench.read(0);
  bench.queue.run();
  const std::uint64_t events = bench.queue.events_run();
  constexpr Cycle kRefreshes = 1'000'000;
  bench.run_to(kRefreshes * bench.t.refi + 5000);
  EXPECT_EQ(bench.queue.events_run(), events);
  bench.read(0);
  bench.queue.run();
  EXPECT_EQ(bench.dram.stats().refreshes, std::uint64_t(kRefreshes));
}

TEST(DramRefresh, ComesForEachRankInItsTurn) {
  DramConfig config = bare_rank();
  config.ranks = 4;
  config.mapping = "RaRoBaCoCh";
  ChannelBench bench(config);
  bench.run_to(bench.t.refi / 4 + 1);  // rank 0 rests
  const ChannelBench::Read& other = bench.read(65'536 * kNextRow);
  const ChannelBench::Read& first = bench.read(0);
  bench.run_to(2000 + bench.t.refi / 4);
  EXPECT_EQ(other.finished, bench.t.refi / 4 + 1 + bench.miss());
  EXPECT_EQ(first.finished, bench.t.refi / 4 + bench.t.rfc + bench.miss());
}

TEST(DramRefresh, CanBeLeftOut) {
  DramConfig config = bare_rank();
  config.refresh = DramRefresh::none;
  ChannelBench bench(config);
  bench.run_to(bench.t.refi + 10);
  const ChannelBench::Read& read = bench.read(0);
  bench.run_to(bench.t.refi + 2000);
  EXPECT_EQ(read.finished, bench.t.refi + 10 + bench.miss());
}

}  // namespace
}  // namespace collapsar

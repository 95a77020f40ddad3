// On any traffic, under any standard, mapping and policy: every command is legal, every request is answered, and one event
// per step changes nothing.
#include <gtest/gtest.h>

#include <deque>

#include "models/mem/dram.h"
#include "sim/core/random.h"
#include "tests/support/dram_checker.h"

namespace collapsar {
namespace {

// Reads, posted writes and whole frames at random moments: bursts of traffic with idle times of up to several refreshes.
class Traffic {
 public:
  Traffic(const DramConfig& config, std::uint64_t seed, bool one_event_per_step)
      : queue_(one_event_per_step), dram(queue_, config), random_(seed, "dram_laws_test") {
    dram.log_commands(logs);
  }
  static constexpr Duration kMostAhead = std::chrono::nanoseconds(100);
  void run(int requests) {
    left_ = requests;
    queue_.schedule(next_, kTimeZero + kMostAhead - ahead);
    queue_.run();
  }

  std::vector<std::int64_t> answers;  // when, in order of submission; posted writes have none
  std::vector<std::vector<DramCommandRecord>> logs;
  std::uint64_t parts = 0;  // requests as banks see them; frames not counted
  bool has_frames = false, has_writes = true;
  bool is_looked_at = false;  // between requests
  Duration ahead{};           // requests are submitted so long before they arrive

 private:
  struct Slot {
    Slot(Traffic& owner, std::size_t number) : traffic(owner), index(number) { request.done = &done; }
    void answered() { traffic.answers[index] = traffic.queue_.now().time_since_epoch().count(); }
    Traffic& traffic;
    std::size_t index;
    DramRequest request;
    Event done = event<&Slot::answered>(this, "test.answered", Phase::cpu);
  };

  void submit() {
    const std::uint64_t address = (random_.below(64) << 24) + random_.below(1 << 14) * 64;  // rows are met again
    if (random_.below(3) == 0 && has_writes) {
      ++parts;
      return dram.post_write({address});
    }
    answers.push_back(-1);
    Slot& slot = slots_.emplace_back(*this, answers.size() - 1);
    const bool is_frame = has_frames && random_.below(20) == 0;
    slot.request.address = {is_frame ? align_down(address, kPageBytes) : address};
    slot.request.lines = is_frame ? 64 : 1;
    slot.request.is_write = is_frame && random_.below(2) == 0;
    parts += !is_frame;
    dram.submit(slot.request, queue_.now() + ahead);
  }
  void step() {
    for (std::uint64_t i = 0, n = 1 + random_.below(40); i < n && left_ > 0; ++i, --left_) submit();
    EXPECT_EQ(dram.held(), dram.in_flight());
    if (is_looked_at) dram.stats();
    if (left_ == 0) return;
    const std::uint64_t most_ns = random_.below(10) == 0 ? 50'000 : 200;
    queue_.schedule_after(next_, Duration(std::int64_t(random_.below(most_ns * 1000))));
  }

  EventQueue queue_;

 public:
  Dram dram;

 private:
  Random random_;
  std::deque<Slot> slots_;
  int left_ = 0;
  Event next_ = event<&Traffic::step>(this, "test.traffic", Phase::cpu);
};

DramConfig random_config(Random& random) {
  const auto pick = [&](auto list) { return list.begin()[random.below(list.size())]; };
  DramConfig c;
  c.standard =
      pick(std::initializer_list<const char*>{"DDR4-2400", "DDR4-2666", "DDR4-3200", "DDR5-4800", "DDR5-5600"});
  c.mapping =
      pick(std::initializer_list<const char*>{"RoBaRaCoCh", "RoRaBaCoBgCh", "ChRaBaRoCo", "RoCoRaBaCh", "MOP4CLXOR"});
  c.page_policy = pick(std::initializer_list<PagePolicy>{PagePolicy::open, PagePolicy::closed, PagePolicy::timeout});
  c.page_timeout = 20 + std::uint32_t(random.below(500));
  c.channels = 1U << random.below(2);
  c.ranks = 1U << random.below(3);
  c.queue = 1 + std::uint32_t(random.below(40));
  c.write_queue = 2 + std::uint32_t(random.below(40));
  c.write_high = 1 + std::uint32_t(random.below(c.write_queue));
  c.write_low = std::uint32_t(random.below(c.write_high));
  c.hit_limit = std::uint32_t(random.below(8));
  c.controller_latency = std::uint32_t(random.below(4));
  if (random.below(4) == 0) c.refresh = DramRefresh::none;
  return c;
}

class DramLaws : public ::testing::TestWithParam<int> {};

TEST_P(DramLaws, EveryCommandIsLegalAndEveryRequestAnswered) {
  Random random(std::uint64_t(GetParam()), "dram_laws_test.config");
  const DramConfig config = random_config(random);
  config.validate();
  Traffic traffic(config, std::uint64_t(GetParam()), false);
  // Where groups alternate, the lines of a frame go at the pace of all groups together: not for the rules of one.
  traffic.has_frames = config.mapping == "RoBaRaCoCh";
  traffic.run(6000);
  for (const auto& log : traffic.logs) {
    const std::vector<std::string> broken = test::DramChecker(traffic.dram.timing()).broken(log);
    EXPECT_TRUE(broken.empty()) << broken.size() << " broken, first " << broken.front();
  }
  for (const std::int64_t when : traffic.answers) ASSERT_GE(when, 0);
  const DramStats& stats = traffic.dram.stats();
  EXPECT_EQ(stats.completed, stats.submitted);
  EXPECT_EQ(traffic.dram.held(), 0U);
  const std::uint64_t sorted = stats.row_hits + stats.row_misses + stats.row_conflicts + stats.forwarded;
  EXPECT_GE(sorted, traffic.parts);
  if (!traffic.has_frames) {
    EXPECT_EQ(sorted, traffic.parts);
  }
}

DramConfig config_of(int seed) {
  Random random(std::uint64_t(seed), "dram_laws_test.config");
  return random_config(random);
}

void expect_the_same(Traffic& one, Traffic& other) {
  one.run(2000), other.run(2000);
  EXPECT_EQ(one.answers, other.answers);
  EXPECT_EQ(one.dram.stats().row_hits, other.dram.stats().row_hits);
}

TEST_P(DramLaws, OneEventPerStepChangesNothing) {
  const DramConfig config = config_of(GetParam());
  Traffic inline_(config, std::uint64_t(GetParam()), false), stepwise(config, std::uint64_t(GetParam()), true);
  inline_.has_frames = stepwise.has_frames = true;
  expect_the_same(inline_, stepwise);
}

TEST_P(DramLaws, AnnouncedAheadIsAsIfSubmittedThen) {
  const DramConfig config = config_of(GetParam());
  Traffic then(config, std::uint64_t(GetParam()), false), ahead(config, std::uint64_t(GetParam()), false);
  then.has_writes = ahead.has_writes = false;
  ahead.ahead = Traffic::kMostAhead;
  expect_the_same(then, ahead);
}

TEST_P(DramLaws, ToLookChangesNothing) {
  const DramConfig config = config_of(GetParam());
  Traffic alone(config, std::uint64_t(GetParam()), false), looked_at(config, std::uint64_t(GetParam()), false);
  alone.has_frames = looked_at.has_frames = looked_at.is_looked_at = true;
  expect_the_same(alone, looked_at);
}

INSTANTIATE_TEST_SUITE_P(Seeds, DramLaws, ::testing::Range(0, 60));

// No rank misses a refresh: between two of them lie tREFI and no more than what delays one at most.
TEST(DramLaws, RefreshesKeepTheirPace) {
  DramConfig config;
  config.standard = "DDR4-2400";
  config.channels = 1;
  config.ranks = 2;
  Traffic traffic(config, 1, false);
  traffic.run(20'000);
  const DramTiming& t = traffic.dram.timing();
  std::vector<std::vector<std::int64_t>> at(2);
  for (const DramCommandRecord& c : traffic.logs[0])
    if (c.command == DramCommand::refresh) at[c.bank / t.banks()].push_back(c.at);
  for (const auto& of_rank : at) {
    ASSERT_GT(of_rank.size(), 10U);
    for (const std::int64_t when : of_rank) {
      const std::int64_t late = when % t.refi % (t.refi / 2);
      EXPECT_LE(late, t.rc + t.cwl + t.burst + t.wr + t.rp);
    }
  }
}

}  // namespace
}  // namespace collapsar

// Sweeps: what --vary means, what is refused, and what an interruption costs.
#include "sim/run/sweep.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>

#include "tests/unit/run/cli_program.h"

namespace collapsar {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

ConfigNode tiny() { return parse_yaml(std::string("name: tiny\n") + kTiny, "tiny.yaml"); }

template <class F>
std::string refusal_of(F&& f) {
  try {
    f();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

std::string text_of(const fs::path& file) {
  std::ifstream stream(file);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

class SweepTest : public ::testing::Test {
 protected:
  SweepTest() : dir_(fs::temp_directory_path() / fmt::format("collapsar-sweep-{}", ::getpid())) {
    fs::create_directories(dir_);
  }
  ~SweepTest() override { fs::remove_all(dir_); }
  Sweep over(const std::vector<std::string>& texts, const ConfigNode& config = tiny()) const {
    std::vector<SweepAxis> axes;
    for (const std::string& text : texts) axes.push_back(parse_axis(text));
    return make_sweep(config, axes, options_);
  }
  std::string path(const char* name) const { return dir_ / name; }
  fs::path dir_;
  RunOptions options_;
};

TEST(SweepAxis, ValuesAreCutAtCommasOutsideOfBracketsAndQuotes) {
  const SweepAxis axis = parse_axis("mmu.l1d=[{pages: [4K], sets: 1, ways: 4}],[{pages: [4K, 2M], sets: 1, ways: 8}]");
  EXPECT_EQ(axis.key, "mmu.l1d");
  EXPECT_THAT(axis.values, ElementsAre("[{pages: [4K], sets: 1, ways: 4}]", "[{pages: [4K, 2M], sets: 1, ways: 8}]"));
  EXPECT_THAT(parse_axis("name=\"a,b\",c").values, ElementsAre("\"a,b\"", "c"));
}

TEST(SweepAxis, WhatCannotBeReadIsRefusedWithItsPlace) {
  EXPECT_EQ(refusal_of([] { parse_axis("seed"); }), "--vary seed: write --vary a.b.c=v1,v2,...");
  EXPECT_EQ(refusal_of([] { parse_axis("seed=1,,2"); }),
            "--vary seed=1,,2: an empty value; write v1,v2 without a comma at an end");
  EXPECT_THAT(refusal_of([] { parse_axis("seed=[1"); }), HasSubstr("--vary seed=[1"));
}

TEST_F(SweepTest, TheFirstKeyIsTheSlowest) {
  const Sweep sweep = over({"seed=1,2", "kernel.version=6.1,6.12"});
  ASSERT_EQ(sweep.points.size(), 4U);
  EXPECT_THAT(sweep.points[1].values, ElementsAre("1", "6.12"));
  EXPECT_THAT(sweep.points[2].values, ElementsAre("2", "6.1"));
  EXPECT_EQ(sweep.points[2].variants, 3U);
}

TEST_F(SweepTest, AWrongValueIsRefusedBeforeAnythingRuns) {
  EXPECT_THAT(refusal_of([&] { over({"kernel.khugepaged.max_ptes_none=0,512"}); }),
              HasSubstr("kernel.khugepaged.max_ptes_none: 512; the kernel takes 0..511"));
  EXPECT_THAT(refusal_of([&] { over({"kernel.khugepaged.scan_slep=1s"}); }),
              HasSubstr("--vary kernel.khugepaged.scan_slep=1s: kernel.khugepaged.scan_slep: unknown key"));
  EXPECT_THAT(refusal_of([&] { over({"seed=1", "seed=2"}); }), HasSubstr("--vary seed: given twice"));
}

TEST_F(SweepTest, PointsThatComeToTheSameAreRefused) {
  EXPECT_EQ(refusal_of([&] { over({"seed=1,1"}); }),
            "--vary seed=1: the same experiment as seed=1; a value stands twice, or every variant sets the key itself");
  EXPECT_EQ(
      refusal_of([&] { over({"memory.size=1GiB,1024MiB"}); }),
      "--vary memory.size=1024MiB: the same experiment as memory.size=1GiB; a value stands twice, or every variant "
      "sets the key itself");
}

TEST_F(SweepTest, APointIsKnownByConfigTraceAndNothingElse) {
  const Sweep sweep = over({"seed=1,2"}), again = over({"seed=2,1"});
  EXPECT_EQ(sweep.points[0].identity.key, again.points[1].identity.key);
  EXPECT_EQ(sweep.points[0].identity.text, again.points[1].identity.text);
  EXPECT_NE(sweep.points[0].identity.key, sweep.points[1].identity.key);
  ConfigNode longer = tiny();
  longer.merge(parse_yaml("trace.synthetic: [{pattern: touch, footprint: 6MiB, write: true}]\n", "longer"));
  EXPECT_NE(over({"seed=1"}, longer).points[0].identity.key, sweep.points[0].identity.key);
}

TEST_F(SweepTest, WhatIsKeptIsNotRunAgain) {
  const Sweep sweep = over({"seed=1,2,3"});
  PointStore store(path("kept"));
  const auto first = run_sweep(sweep, store, options_);
  for (const PointOutcome& outcome : first) EXPECT_EQ(outcome.state, PointOutcome::State::done);
  fs::remove_all(store.folder(sweep.points[1].identity));
  RunOptions no_runs = options_;
  std::size_t runs = 0;
  no_runs.on_progress = [&](const Progress& progress) { runs += progress.finished; };
  const auto second = run_sweep(sweep, store, no_runs);
  EXPECT_EQ(second[0].state, PointOutcome::State::kept);
  EXPECT_EQ(second[1].state, PointOutcome::State::done);
  EXPECT_EQ(second[2].state, PointOutcome::State::kept);
  EXPECT_EQ(runs, sweep.points[1].variants);
  EXPECT_EQ(sweep_csv(sweep, first, store), sweep_csv(sweep, second, store));
}

TEST_F(SweepTest, JobsDoNotChangeTheNumbers) {
  const Sweep sweep = over({"seed=1,2", "kernel.khugepaged.max_ptes_none=0,511"});
  PointStore one(path("one")), many(path("many"));
  const auto alone = run_sweep(sweep, one, options_);
  RunOptions side_by_side = options_;
  side_by_side.jobs = 8;
  const auto together = run_sweep(sweep, many, side_by_side);
  EXPECT_EQ(sweep_csv(sweep, alone, one), sweep_csv(sweep, together, many));
}

TEST_F(SweepTest, APointThatCannotGoOnLeavesTheOthersAlone) {
  const Sweep sweep = over({"memory.size=4MiB,64MiB"});
  PointStore store(path("short"));
  const auto outcomes = run_sweep(sweep, store, options_);
  EXPECT_EQ(outcomes[0].state, PointOutcome::State::failed);
  EXPECT_THAT(outcomes[0].error, HasSubstr("variant never"));
  EXPECT_EQ(outcomes[1].state, PointOutcome::State::done);
  EXPECT_FALSE(store.has(sweep.points[0].identity));
  EXPECT_THAT(sweep_table(sweep, outcomes, store), HasSubstr("4MiB   failed: "));
}

TEST_F(SweepTest, TwoSweepsInOneDirectoryAreRefused) {
  PointStore first(path("shared")), second(path("shared"));
  EXPECT_FALSE(fs::exists(path("shared")));  // nothing to leave behind where the sweep is refused before it begins
  first.lock();
  EXPECT_THAT(refusal_of([&] { second.lock(); }), HasSubstr("another sweep is at work in"));
}

// ---- The program, killed --------------------------------------------------------------------------------------------

// Long enough to be met in the middle.
constexpr const char* kSlow =
    "name: slow\ntrace.synthetic: [{pattern: random, footprint: 64MiB, references: 1M}]\n"
    "memory.size: 1GiB\nvariants: {plain: {}}\n";

pid_t start(const std::vector<std::string>& arguments) {
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  std::vector<char*> words{const_cast<char*>(COLLAPSAR_PROGRAM)};
  for (const std::string& argument : arguments) words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);
  if (!std::freopen("/dev/null", "w", stdout)) ::_exit(126);
  ::execv(COLLAPSAR_PROGRAM, words.data());
  ::_exit(127);
}

bool has_ended(pid_t pid) {
  siginfo_t info{};
  return ::waitid(P_PID, id_t(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

std::size_t finished_in(const fs::path& points) {
  std::size_t count = 0;
  std::error_code not_there_yet;
  for (const auto& entry : fs::directory_iterator(points, not_there_yet))
    count += !entry.path().filename().string().starts_with('.');
  return count;
}

TEST_F(SweepTest, KillingTheProgramLosesAtMostThePointsThatRan) {
  std::ofstream(path("slow.yaml")) << kSlow;
  const auto arguments = [&](const char* out) {
    return std::vector<std::string>{"sweep", path("slow.yaml"), "--vary", "seed=1,2,3,4,5", "--jobs",
                                    "1",     "--out",           path(out)};
  };
  const pid_t killed = start(arguments("killed"));
  while (finished_in(dir_ / "killed/points") < 2 && !has_ended(killed))
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  ::kill(killed, SIGKILL);
  int status = 0;
  ::waitpid(killed, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "it was over before it could be killed";
  const std::size_t kept = finished_in(dir_ / "killed/points");
  EXPECT_GE(kept, 2U);
  EXPECT_LT(kept, 5U);
  EXPECT_FALSE(fs::exists(dir_ / "killed/sweep.csv"));
  std::map<fs::path, fs::file_time_type> before;
  for (const auto& entry : fs::directory_iterator(dir_ / "killed/points"))
    before[entry.path()] = fs::last_write_time(entry.path());
  for (const char* out : {"killed", "whole"}) {
    ::waitpid(start(arguments(out)), &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << out;
    EXPECT_EQ(finished_in(dir_ / out / "points"), 5U) << out;
  }
  for (const auto& [point, time] : before)
    if (!point.filename().string().starts_with('.')) {
      EXPECT_EQ(fs::last_write_time(point), time) << "it was run again: " << point;
    }
  EXPECT_EQ(text_of(dir_ / "killed/sweep.csv"), text_of(dir_ / "whole/sweep.csv"));
  for (const auto& entry : fs::directory_iterator(dir_ / "killed/points"))
    EXPECT_FALSE(entry.path().filename().string().starts_with('.')) << "left behind: " << entry.path();
}

}  // namespace
}  // namespace collapsar

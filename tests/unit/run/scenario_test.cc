// The scenario language, and that the player tells what the kernel did.
#include "sim/run/scenario.h"

#include <gmock/gmock.h>

namespace collapsar {
namespace {

using nlohmann::json;

std::string error_of(const std::string& text) {
  try {
    parse_scenario(text, "x.scn");
  } catch (const ScenarioError& error) {
    return error.what();
  }
  return "no error";
}

TEST(ScenarioScript, ReadsACommandWithAllItsArguments) {
  const ScenarioScript script =
      parse_scenario("# what for\nproc A\nmmap A 1T+2M+17P 0x3P r shared noreserve  # why\n", "some/where/one.scn");
  EXPECT_EQ(script.name, "one");
  ASSERT_EQ(script.commands.size(), 2U);
  const ScenarioCommand& c = script.commands[1];
  EXPECT_EQ(c.line, 3U);
  EXPECT_EQ(c.text, "mmap A 1T+2M+17P 0x3P r shared noreserve");
  EXPECT_EQ(c.address.value, (1ULL << 40) + (2ULL << 20) + 17 * 4096);
  EXPECT_EQ(c.length, 3U * 4096);
  EXPECT_EQ(c.prot, 1U);
  EXPECT_TRUE(c.is_shared && c.is_noreserve);
}

TEST(ScenarioScript, KnowsWhereTheHeapIs) {
  const ScenarioScript script = parse_scenario("proc A\ntouch A w heap+1P 2 3\n", "x.scn");
  EXPECT_EQ(script.commands[1].address, kScenarioHeap + kPageBytes);
  EXPECT_EQ(script.commands[1].count, 2U);
  EXPECT_EQ(script.commands[1].stride, 3U);
}

TEST(ScenarioScript, SaysWhereACommandIsWrong) {
  EXPECT_EQ(error_of("proc A\nmap A 1T 2M\n"), "x.scn:2:1: unknown command map");
  EXPECT_EQ(error_of("proc A\n  mmap A 1T\n"), "x.scn:2:10: mmap takes at least 3 arguments, got 2");
  EXPECT_EQ(error_of("proc A\nwake 1 2\n"), "x.scn:2:8: wake takes at most 1 arguments, got 2");
  EXPECT_EQ(error_of("touch A w 1T 1\n"), "x.scn:1:7: there is no process A");
  EXPECT_EQ(error_of("proc A\nproc A\n"), "x.scn:2:6: process A exists already");
  EXPECT_EQ(error_of("proc A\nexit A\nclear_refs A\n"), "x.scn:3:12: process A has ended");
  EXPECT_EQ(error_of("proc A\nmmap A 1X 2M\n"), "x.scn:2:8: 1X: expected a number N[K|M|G|T|P]");
  EXPECT_EQ(error_of("proc A\nmmap A 1T 2M rv\n"), "x.scn:2:14: rv: expected rw, r, rx or none");
  EXPECT_EQ(error_of("proc A\nmadvise A 1T 2M HUGE\n"), "x.scn:2:17: unknown advice HUGE");
  EXPECT_EQ(error_of("knob max_ptes 1\n"), "x.scn:1:6: unknown knob max_ptes");
  EXPECT_EQ(error_of("proc A\nthp A maybe\n"), "x.scn:2:7: expected on or off");
  EXPECT_EQ(error_of("proc A\nmmap A 256T 2M\n"), "x.scn:2:8: 256T lies beyond the address space of a program");
  EXPECT_EQ(error_of("proc A\nmunmap A 127T 2T\n"), "x.scn:2:15: the range leaves the address space");
  EXPECT_EQ(error_of("proc A\nalloc_sleep 5\n"), "x.scn:2:1: alloc_sleep is possible only as the first command");
}

std::vector<json> play(const std::string& text, const std::string& kernel = "6.1") {
  ScenarioPlayer player(kernel, /*check=*/true);
  std::istringstream lines(player.play(parse_scenario(text, "x.scn")));
  std::vector<json> records;
  for (std::string line; std::getline(lines, line);) records.push_back(json::parse(line));
  return records;
}

std::vector<json> of_type(const std::vector<json>& records, const char* type) {
  std::vector<json> found;
  for (const json& r : records)
    if (r["t"] == type) found.push_back(r);
  return found;
}

constexpr const char* kFullRange =
    "proc A\nmmap A 1T 2M rw\nthp A off\ntouch A w 1T 512\nthp A on\n"
    "madvise A 1T 2M HUGEPAGE\n";

TEST(Scenario, TellsACollapseWithAllItsStages) {
  const auto records = play(std::string(kFullRange) + "wake\nsnap after\n");
  const auto scans = of_type(records, "pmd");
  ASSERT_EQ(scans.size(), 1U);
  EXPECT_EQ(scans[0]["status"], "succeeded");
  EXPECT_EQ(scans[0]["by"], "khugepaged");
  EXPECT_EQ(scans[0]["referenced"], 512);
  EXPECT_EQ(scans[0]["isolate"]["status"], "succeeded");
  EXPECT_EQ(scans[0]["collapse"]["isolated"], 1);
  const json wake = of_type(records, "wake").at(0);
  EXPECT_EQ(wake["collapsed"], 1);
  EXPECT_EQ(wake["visits"], 2);         // the attempt ended the first
  EXPECT_EQ(wake["vmas_skipped"], 10);  // those of the driver
  EXPECT_EQ(wake["asleep"], "between_scans");
  const json window = of_type(records, "snap").at(0)["pmds"].at(0);
  EXPECT_EQ(window["thp"], 512);
}

TEST(Scenario, CallsThatFailGiveTheirErrno) {
  const auto calls = of_type(play("proc A\ntouch A w 1T 1\nknob max_ptes_none 512\n"), "cmd");
  EXPECT_EQ(calls.at(1)["rc"], -1);
  EXPECT_EQ(calls.at(1)["errno"], EFAULT);
  EXPECT_EQ(calls.at(2)["errno"], EINVAL);
}

TEST(Scenario, APinnedPageKeepsItsRangeSmallUntilThePipeIsClosed) {
  const auto records = play(std::string(kFullRange) + "pin A 1T+3P 1P\nwake\nunpin A\nwake\n");
  const auto scans = of_type(records, "pmd");
  ASSERT_EQ(scans.size(), 2U);
  EXPECT_EQ(scans[0]["status"], "not_suitable_page_count");
  EXPECT_EQ(scans[1]["status"], "succeeded");
}

TEST(Scenario, ALockedProcessIsPassedOver) {
  const auto records = play(std::string(kFullRange) + "lock A\nwake\nunlock A\nwake\n");
  EXPECT_EQ(of_type(records, "busy").size(), 1U);
  const auto wakes = of_type(records, "wake");
  EXPECT_EQ(wakes.at(0)["visits"], 0);
  EXPECT_EQ(wakes.at(0)["full_scans"], 1);
  EXPECT_EQ(wakes.at(1)["collapsed"], 1);
}

TEST(Scenario, WithoutAFreeHugeBlockTwoRangesFailAPass) {
  const auto records = play(
      "alloc_sleep 100\nproc A\nmmap A 1T 8M rw\nthp A off\ntouch A w 1T 2048\nthp A on\nmadvise A 1T 8M HUGEPAGE\n"
      "proc H\nhog H 32M\nknob defrag 0\nwake\nexit H\nwake\n");
  const auto scans = of_type(records, "pmd");
  ASSERT_GT(scans.size(), 2U);
  EXPECT_EQ(scans[1]["status"], "alloc_huge_page_failed");
  EXPECT_EQ(scans[2]["status"], "succeeded");
  EXPECT_EQ(of_type(records, "counters").at(0)["vmstat"]["thp_collapse_alloc_failed"], 2);
}

TEST(Scenario, OneBootKeepsTheHugeZeroPage) {
  ScenarioPlayer player("6.12", true);
  const ScenarioScript script = parse_scenario("proc A\nmmap A 1T 2M\ntouch A r 1T 1\n", "x.scn");
  EXPECT_NE(player.play(script).find("thp_zero_page_alloc"), std::string::npos);
  EXPECT_EQ(player.play(script).find("thp_zero_page_alloc"), std::string::npos);
}

TEST(Scenario, TheSameScenarioGivesTheSameRecords) {
  const std::string text =
      std::string(kFullRange) + "fork A B\ntouch B w 1T 300\nmadvise A 1T 9P PAGEOUT\nwake 3\nsnap s\n";
  EXPECT_EQ(play(text), play(text));
}

}  // namespace
}  // namespace collapsar

// events.json of whole runs: slices nest and stand in order, and what they add up to is what result.json says.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "sim/run/report.h"

namespace collapsar {
namespace {

using Json = nlohmann::json;

ExperimentResult run(const std::string& file, const std::vector<std::string>& sets = {}, unsigned jobs = 1,
                     bool one_event_per_step = false) {
  RunOptions options;
  options.record = true;
  options.jobs = jobs;
  options.one_event_per_step = one_event_per_step;
  return run_experiment(load_experiment(std::string(COLLAPSAR_SOURCE_DIR) + "/tests/" + file, sets, {}), options);
}

std::int64_t ns(const Json& microseconds) { return std::llround(microseconds.get<double>() * 1000); }

// The slices of one variant, each with "end" in ns, and what the result says of it. Checks on the way that they nest.
struct Slices {
  std::vector<Json> all;
  const StatTable& stats;

  Slices(const Json& json, const ExperimentResult& result, std::size_t variant)
      : stats(result.variants[variant].stats) {
    std::map<int, std::vector<std::size_t>> open;  // by thread
    std::int64_t last = 0;
    for (const Json& event : json["traceEvents"]) {
      if (event["pid"] != variant + 1 || event["ph"] == "M") continue;
      const std::int64_t now = ns(event["ts"]);
      EXPECT_GE(now, last) << event;
      last = now;
      if (event["ph"] == "B" || event["ph"] == "i") {
        if (event["ph"] == "B") open[event["tid"]].push_back(all.size());
        all.push_back(event);
        all.back()["end"] = now;
      } else if (event["ph"] == "E") {
        std::vector<std::size_t>& stack = open[event["tid"]];
        if (stack.empty()) {
          ADD_FAILURE() << "nothing is open: " << event;
          continue;
        }
        Json& slice = all[stack.back()];
        EXPECT_EQ(slice["name"], event["name"]);
        slice["end"] = now;
        stack.pop_back();
      }
    }
    for (const auto& [thread, stack] : open) EXPECT_TRUE(stack.empty()) << thread;
  }
  template <class Is>
  std::int64_t count(Is is) const {
    return std::count_if(all.begin(), all.end(), is);
  }
  template <class Is>
  double sum(const char* argument, Is is) const {
    double sum = 0;
    for (const Json& e : all)
      if (is(e)) sum += e["args"].value(argument, 0.0);
    return sum;
  }
  std::int64_t stat(const char* path) const { return std::int64_t(stats.find(path)->integer()); }
};

bool is_on(const Json& event, std::string_view track) { return event["cat"] == track; }
bool starts(const Json& event, std::string_view name) { return event["name"].get<std::string>().starts_with(name); }

void expect_sums(const Slices& s) {
  const auto range = [](const Json& e) { return is_on(e, "khugepaged") && starts(e, "range"); };
  EXPECT_EQ(s.count([&](const Json& e) { return range(e) && e["args"]["result"] == "SCAN_SUCCEED"; }),
            s.stat("khugepaged.pages_collapsed"));
  const std::int64_t unfinished =
      s.count([&](const Json& e) { return range(e) && e["args"]["result"] == "not finished"; });
  EXPECT_EQ(s.count(range) - unfinished, s.stat("khugepaged.ranges_scanned"));
  EXPECT_EQ(s.count([](const Json& e) { return e["name"] == "activation"; }), s.stat("khugepaged.wakeups"));
  for (const char* phase : {"scan", "alloc", "swapin", "isolate", "flush", "copy", "commit", "rollback"}) {
    const double sum = s.sum("cpu_ns", [&](const Json& e) {
      return is_on(e, "khugepaged") && e["args"].contains("account") && e["args"]["account"] == phase;
    });
    EXPECT_EQ(std::llround(sum), s.stat(fmt::format("khugepaged.cpu_ns.{}", phase).c_str())) << phase;
  }
  const auto device = [](const Json& e) { return is_on(e, "swap device"); };
  EXPECT_EQ(s.count(device), s.stat("swap.completed"));
  const auto stall = [](const Json& e) { return is_on(e, "lock waiters") && e["args"]["counts_as_stall"] == 1; };
  EXPECT_EQ(s.count([&](const Json& e) { return stall(e) && e["name"] == "mmap_lock"; }), s.stat("stall.mmap_lock_ns"));
  const auto batch = [](const Json& e) { return is_on(e, "kswapd") && e["name"] == "batch"; };
  EXPECT_EQ(std::llround(s.sum("scanned", batch)), s.stat("vmstat.pgscan_kswapd"));
}

class EventsOfRuns : public testing::TestWithParam<const char*> {};

TEST_P(EventsOfRuns, NestAndAddUpToTheResult) {
  const ExperimentResult result = run(GetParam());
  const Json json = Json::parse(events_report(result));
  EXPECT_EQ(json["otherData"]["left_out"].size(), 0U);
  for (std::size_t i = 0; i < result.variants.size(); ++i) {
    SCOPED_TRACE(result.variants[i].name);
    const Slices slices(json, result, i);
    EXPECT_GT(slices.all.size(), 0U);
    expect_sums(slices);
  }
}

std::string name_of_config(const testing::TestParamInfo<const char*>& parameter) {
  const std::string file = parameter.param;
  return file.substr(file.find('/') + 1, file.find('.') - file.find('/') - 1);
}

INSTANTIATE_TEST_SUITE_P(Configs, EventsOfRuns,
                         testing::Values("golden/khugepaged.yaml", "golden/swap.yaml", "golden/processes.yaml",
                                         "page/page.yaml"),
                         name_of_config);

TEST(Events, ACollapseShowsItsPhasesInTheKernelsOrder) {
  const ExperimentResult result = run("golden/khugepaged.yaml");
  const Slices slices(Json::parse(events_report(result)), result, 1);
  const auto collapse = std::find_if(slices.all.begin(), slices.all.end(), [](const Json& e) {
    return starts(e, "range") && e["args"]["result"] == "SCAN_SUCCEED";
  });
  ASSERT_NE(collapse, slices.all.end());
  std::vector<std::string> steps;
  for (auto e = std::next(collapse); e != slices.all.end() && ns((*e)["ts"]) < (*collapse)["end"]; ++e)
    if ((*e)["tid"] == (*collapse)["tid"]) steps.push_back((*e)["name"]);
  EXPECT_EQ(steps, (std::vector<std::string>{"scan", "alloc", "revalidate", "revalidate", "flush", "isolate", "copy",
                                             "commit"}));
}

TEST(Events, HasCountersForCoverageAndMisses) {
  const ExperimentResult result = run("golden/khugepaged.yaml");
  const Json json = Json::parse(events_report(result));
  std::map<std::string, int> counters;
  double last_coverage = 0;
  for (const Json& event : json["traceEvents"])
    if (event["ph"] == "C" && event["pid"] == 2) {
      ++counters[event["name"]];
      if (event["args"].contains("percent")) last_coverage = event["args"]["percent"];
    }
  EXPECT_GT(counters["huge-page coverage"], 2);
  EXPECT_GT(counters["TLB misses per 1,000 references"], 0);
  EXPECT_NEAR(last_coverage, 100 * result.variants[1].stats.value("memory.coverage"), 1e-3);
}

TEST(Events, ABoundLeavesOutTheShortestAndSaysSo) {
  const ExperimentResult result = run("golden/swap.yaml", {"output.events=50"});
  const Json json = Json::parse(events_report(result));
  const Json& left_out = json["otherData"]["left_out"];
  ASSERT_GT(left_out.size(), 0U);
  for (const Json& account : left_out) EXPECT_LE(account["kept"], 50);
  const std::vector<std::string> notes = left_out_notes(result);
  EXPECT_EQ(notes.size(), left_out.size());
  EXPECT_NE(table_report(result).find("note: " + notes[0]), std::string::npos);
  for (std::size_t i = 0; i < result.variants.size(); ++i) {
    const Slices slices(json, result, i);
    const auto on_device = slices.count([](const Json& e) { return is_on(e, "swap device"); });
    const auto account = std::find_if(left_out.begin(), left_out.end(), [&](const Json& a) {
      return a["variant"] == result.variants[i].name && a["track"] == "swap device";
    });
    ASSERT_NE(account, left_out.end());
    EXPECT_EQ(on_device + account->at("left_out").get<std::int64_t>(), slices.stat("swap.completed"));
  }
}

TEST(Events, NothingIsRecordedWithoutBeingAsked) {
  const ConfigNode config =
      load_experiment(std::string(COLLAPSAR_SOURCE_DIR) + "/tests/golden/khugepaged.yaml", {}, {});
  const ExperimentResult quiet = run_experiment(config, {});
  for (const VariantResult& variant : quiet.variants) {
    EXPECT_TRUE(variant.spans.spans.empty());
    for (const RangeRow& row : variant.ranges) EXPECT_TRUE(row.changes.empty());
  }
  EXPECT_EQ(json_report(quiet), json_report(run("golden/khugepaged.yaml")));  // and recording changes no result
}

TEST(Events, TheSameBytesHoweverTheRunIsMade) {
  const ExperimentResult one = run("page/page.yaml");
  const std::string events = events_report(one), page = html_report(one);
  for (const ExperimentResult& other : {run("page/page.yaml", {}, 3), run("page/page.yaml", {}, 1, true)}) {
    EXPECT_TRUE(events_report(other) == events);
    EXPECT_TRUE(html_report(other) == page);
  }
}

}  // namespace
}  // namespace collapsar

// What a log of spans keeps, and what it leaves out.
#include "sim/run/span_log.h"

#include <gtest/gtest.h>

namespace collapsar {
namespace {

Span span(std::string_view track, std::int64_t begin, std::int64_t end, std::string_view name = "work") {
  Span s;
  s.track = {track}, s.name = name, s.begin = kTimeZero + Duration(begin), s.end = kTimeZero + Duration(end);
  return s;
}

constexpr Time kEnd = kTimeZero + Duration(1'000'000);

TEST(SpanLog, GivesBackWhatItGotInOrderOfBegin) {
  SpanLog log(10);
  log.add(span("b", 30, 40));
  log.add(span("a", 10, 20));
  const SpanRecord record = log.take(kEnd);
  ASSERT_EQ(record.spans.size(), 2U);
  EXPECT_EQ(record.spans[0].track.name, "a");
  EXPECT_EQ(record.spans[1].track.name, "b");
  EXPECT_TRUE(record.is_complete());
}

TEST(SpanLog, WhatHoldsOthersComesFirst) {
  SpanLog log(10);
  log.add(span("a", 10, 20, "inner"));
  log.add(span("a", 10, 20, "outer"));  // as a model does it: the whole ends after its parts
  log.add(span("a", 10, 30, "outermost"));
  const SpanRecord record = log.take(kEnd);
  EXPECT_EQ(record.spans[0].name, "outermost");
  EXPECT_EQ(record.spans[1].name, "outer");
  EXPECT_EQ(record.spans[2].name, "inner");
}

TEST(SpanLog, CutsOffWhatLastsLongerThanTheRun) {
  SpanLog log(10);
  log.add(span("a", 10, 2'000'000));
  EXPECT_EQ(log.take(kEnd).spans[0].end, kEnd);
}

TEST(SpanLog, LeavesOutTheShortestOfAKindAndCountsThem) {
  SpanLog log(4);
  for (std::int64_t i = 1; i <= 100; ++i) log.add(span("a", 1000 * i, 1000 * i + i));  // lengths 1 to 100
  log.add(span("b", 0, 1));
  const SpanRecord record = log.take(kEnd);
  ASSERT_EQ(record.accounts.size(), 2U);
  const DroppedSpans& a = record.accounts[0];
  EXPECT_LE(a.kept, 4U);
  EXPECT_GE(a.kept, 2U);
  EXPECT_EQ(a.kept + a.dropped, 100U);
  EXPECT_EQ(record.accounts[1].dropped, 0U);
  Duration kept{}, shortest = Duration::max();
  for (const Span& s : record.spans)
    if (s.track.name == "a") kept += s.length(), shortest = std::min(shortest, s.length());
  EXPECT_EQ(kept + a.dropped_time, Duration(100 * 101 / 2));
  EXPECT_GE(shortest, a.longest);
  EXPECT_FALSE(record.is_complete());
}

TEST(SpanLog, OfEqualOnesTheFirstStay) {
  SpanLog log(4);
  for (std::int64_t i = 0; i < 9; ++i) log.add(span("a", 10 * i, 10 * i + 5));
  const SpanRecord record = log.take(kEnd);
  EXPECT_EQ(record.spans[0].begin, kTimeZero);
  EXPECT_EQ(record.spans[1].begin, kTimeZero + Duration(10));
}

TEST(SpanLog, AlmostNoRoomIsNoError) {
  SpanLog log(1);
  for (std::int64_t i = 0; i < 9; ++i) log.add(span("a", 10 * i, 10 * i + i));
  const SpanRecord record = log.take(kEnd);
  EXPECT_EQ(record.accounts[0].kept + record.accounts[0].dropped, 9U);
  EXPECT_LE(record.accounts[0].kept, 1U);
}

struct Collected : SpanSink {
  void add(const Span& s) override { spans.push_back(s); }
  std::vector<Span> spans;
};

TEST(StepSpans, StepsFollowOneAnotherAndTheWholeHoldsThem) {
  Collected sink;
  StepSpans steps;
  const auto at = [](std::int64_t ps) { return kTimeZero + Duration(ps); };
  steps.start(&sink, {"khugepaged"}, at(100));
  steps.enter("scan", at(100), "scan", Duration(50));
  steps.enter("wait", at(150));
  steps.enter("copy", at(170), "copy", Duration(10));
  steps.enter("copy", at(180), "copy", Duration(10));  // the same step goes on
  steps.finish("range", SpanNote::count("n", 1), SpanNote::word("result", "done"), at(200));
  ASSERT_EQ(sink.spans.size(), 4U);
  EXPECT_EQ(sink.spans[0].name, "scan");
  EXPECT_EQ(sink.spans[1].length(), Duration(20));
  EXPECT_EQ(sink.spans[2].notes[1].number, 20U);
  EXPECT_EQ(sink.spans[3].begin, at(100));
  EXPECT_EQ(sink.spans[3].notes[2].number, 70U);
  EXPECT_TRUE(sink.spans[3].is_named_by_note);
}

TEST(StepSpans, AStepThatTakesNoTimeIsNotDrawn) {
  Collected sink;
  StepSpans steps;
  steps.start(&sink, {"khugepaged"}, kTimeZero);
  steps.enter("wait", kTimeZero);
  steps.enter("scan", kTimeZero, "scan", Duration(5));
  steps.finish("range", {}, {}, kTimeZero + Duration(5));
  ASSERT_EQ(sink.spans.size(), 2U);
  EXPECT_EQ(sink.spans[0].name, "scan");
}

TEST(StepSpans, NothingIsDrawnForNobody) {
  StepSpans steps;
  steps.start(nullptr, {"khugepaged"}, kTimeZero);
  steps.enter("scan", kTimeZero, "scan", Duration(5));
  steps.finish("range", {}, {}, kTimeZero + Duration(5));
}

}  // namespace
}  // namespace collapsar

#include <algorithm>

#include "tests/unit/trace/trace_testing.h"

namespace collapsar {
namespace {

using namespace testing;
using Op = TraceEvent::Op;

constexpr std::uint64_t kPage = kPageBytes;

std::vector<VirtRange> pages(std::initializer_list<std::uint64_t> numbers) {
  std::vector<VirtRange> ranges;
  for (const std::uint64_t n : numbers) ranges.push_back({{n * kPage}, {(n + 1) * kPage}});
  return ranges;
}

std::vector<Record> loads(std::initializer_list<std::uint64_t> page_numbers) {
  std::vector<Record> records;
  for (const std::uint64_t n : page_numbers) records.push_back(load(n * kPage));
  return records;
}

// What is resident when these references follow, each before the event with its index.
std::vector<VirtRange> resident_of(std::vector<Record> records, std::vector<TraceEvent> events) {
  TemporaryFolder folder;
  TraceInfo info;
  info.complete = false;
  const std::unique_ptr<TraceSource> source = make_memory_trace(std::move(records), std::move(events), "test");
  const std::unique_ptr<TraceSink> sink = create_trace(folder.file("a.ctr"), info);
  while (const std::optional<TraceItem> item = source->next()) sink->put(*item);
  sink->finish();
  const std::unique_ptr<TraceSource> written = open_trace({folder.file("a.ctr")});
  const auto all = written->info().resident.value();
  EXPECT_TRUE(all == touched_before_window(*written));
  return all.contains(1) ? all.at(1) : std::vector<VirtRange>{};
}

TraceEvent at(std::uint64_t index, TraceEvent e) {
  e.index = index;
  return e;
}

const TraceEvent kProcess = make_event(Op::process);

TEST(Resident, IsWhatWasMappedBeforeAndIsTouched) {
  EXPECT_EQ(resident_of(loads({16, 18, 40}), {kProcess, make_event(Op::vma, 16 * kPage, 4 * kPage)}), pages({16, 18}));
}

TEST(Resident, LeavesOutWhatIsMappedLater) {
  EXPECT_EQ(resident_of(loads({16, 17}), {kProcess, make_event(Op::vma, 16 * kPage, kPage),
                                          at(1, make_event(Op::mmap, 17 * kPage, kPage))}),
            pages({16}));
}

TEST(Resident, LeavesOutWhatIsMappedAnew) {
  const TraceEvent vma = make_event(Op::vma, 16 * kPage, 2 * kPage);
  EXPECT_EQ(resident_of(loads({16, 17}), {kProcess, vma, at(1, make_event(Op::mmap, 17 * kPage, kPage))}), pages({16}));
  EXPECT_EQ(
      resident_of(loads({16, 17}), {kProcess, vma, at(2, make_event(Op::munmap, 17 * kPage, kPage))}).front().pages(),
      2u);
}

TEST(Resident, KnowsAMovedPageByItsFirstAddress) {
  TraceEvent move = make_event(Op::mremap, 16 * kPage, 2 * kPage);
  move.new_address = 64 * kPage, move.new_length = 4 * kPage;
  EXPECT_EQ(resident_of(loads({65, 66}), {kProcess, make_event(Op::vma, 16 * kPage, 2 * kPage), at(0, move)}).front(),
            (VirtRange{{65 * kPage}, {67 * kPage}}));
  EXPECT_EQ(resident_of(loads({16, 65, 66}), {kProcess, make_event(Op::vma, 16 * kPage, 2 * kPage), at(1, move)})
                .front()
                .pages(),
            2u);
}

TEST(Resident, CountsTheHeapAsFarAsItReached) {
  TraceEvent grown = make_event(Op::brk, 18 * kPage), later = make_event(Op::brk, 20 * kPage);
  EXPECT_EQ(
      resident_of(loads({17, 19}), {kProcess, make_event(Op::heap_room, 16 * kPage, 16 * kPage), grown, at(1, later)}),
      pages({17}));
}

TEST(Resident, GivesAForkedChildsReadsToItsParent) {
  TemporaryFolder folder;
  TraceInfo info;
  info.complete = false;
  const std::unique_ptr<TraceSink> sink = create_trace(folder.file("a.ctr"), info);
  sink->put(kProcess);
  sink->put(make_event(Op::vma, 16 * kPage, 4 * kPage));
  const std::vector<Record> parents = loads({16}), childs = loads({18});
  sink->put(make_run(parents));
  TraceEvent fork = make_event(Op::fork);
  fork.value = 2, fork.new_tid = 1;
  sink->put(fork);
  sink->put(make_run(childs, 2));
  sink->finish();
  const auto resident = open_trace({folder.file("a.ctr")})->info().resident.value();
  ASSERT_EQ(resident.size(), 1u);
  EXPECT_EQ(resident.at(1), pages({16, 18}));
}

TEST(Resident, IsEmptyForACompleteTrace) {
  const std::unique_ptr<TraceSource> source = make_synthetic({{.footprint = {kMiB}}}, 1);
  EXPECT_TRUE(touched_before_window(*source).empty());
}

// 300,000 references with an event every 70,000: blocks with and without events.
std::unique_ptr<TraceSource> long_trace(const std::string& file) {
  const std::unique_ptr<TraceSink> sink = create_trace(file, {});
  sink->put(kProcess);
  sink->put(make_event(Op::vma, 0, kGiB));
  std::vector<Record> records(1000);
  for (std::uint64_t i = 0; i < 300; ++i) {
    for (std::uint64_t k = 0; k < records.size(); ++k) records[k] = load((i * 1000 + k) * 64);
    TraceRun run = make_run(records);
    run.begin_ns = static_cast<std::int64_t>(i * 1000), run.end_ns = run.begin_ns + 1000;
    sink->put(run);
    if (i % 70 == 69) sink->put(make_event(Op::madvise, i * kPage, kPage));
  }
  sink->finish();
  return open_trace({file});
}

TEST(Window, YieldsItsReferencesAndAllEarlierEvents) {
  TemporaryFolder folder;
  const FlatTrace all = read_flat(*long_trace(folder.file("a.ctr")));
  for (const std::uint64_t skip : {0u, 1u, 65536u, 140000u, 210001u, 299999u}) {
    for (const std::uint64_t limit : {0u, 1u, 70000u, 500000u}) {
      const std::unique_ptr<TraceSource> window = make_window(open_trace({folder.file("a.ctr")}), skip, limit);
      const FlatTrace part = read_flat(*window);
      const std::uint64_t end = limit == 0 ? 300000 : std::min<std::uint64_t>(300000, skip + limit);
      ASSERT_EQ(part.references.size(), end - skip);
      EXPECT_TRUE(std::equal(part.references.begin(), part.references.end(),
                             all.references.begin() + static_cast<std::ptrdiff_t>(skip)));
      const auto is_in = [&](const TraceEvent& e) { return e.index < end || end == 300000; };
      EXPECT_EQ(static_cast<std::ptrdiff_t>(part.events.size()),
                std::count_if(all.events.begin(), all.events.end(), is_in));
      EXPECT_EQ(window->info().references, part.references.size());
      EXPECT_EQ(window->info().events, part.events.size());
      EXPECT_EQ(window->info().complete, skip == 0 && end == 300000);
      window->rewind();
      EXPECT_TRUE(read_flat(*window) == part);
    }
  }
}

TEST(Window, BehindTheEndHasNoReferences) {
  TemporaryFolder folder;
  long_trace(folder.file("a.ctr"));
  EXPECT_TRUE(read_flat(*make_window(open_trace({folder.file("a.ctr")}), 400000, 10)).references.empty());
}

TEST(MemoryTrace, InfersItsMappingsAndSaysSo) {
  const std::unique_ptr<TraceSource> source = make_memory_trace(loads({16, 17, 30, 900}), {}, "array");
  EXPECT_FALSE(source->info().has_mappings);
  ASSERT_FALSE(source->info().notes.empty());
  EXPECT_EQ(source->info().notes.front().find("VMAs inferred"), 0u);
  const FlatTrace flat = read_flat(*source);
  ASSERT_EQ(flat.events.size(), 3u);
  EXPECT_EQ(flat.events[1].address, 16 * kPage);
  EXPECT_EQ(flat.events[1].length, 15 * kPage);
  EXPECT_EQ(flat.events[2].address, 900 * kPage);
}

TEST(MemoryTrace, RefusesASizeOfZeroByRecord) {
  const std::string error = trace_error_of([] { make_memory_trace({load(1), load(2, 0)}, {}, "array"); });
  EXPECT_NE(error.find("array: record 1, byte offset 16"), std::string::npos) << error;
}

// What is resident when the first `skip` of these references are cut off.
std::map<std::uint32_t, std::vector<VirtRange>> resident_of_cut(std::vector<Record> records,
                                                                std::vector<TraceEvent> events, std::uint64_t skip) {
  auto cut = make_cut(make_memory_trace(std::move(records), std::move(events), "test"), skip, 1);
  const FlatTrace flat = read_flat(*cut);
  EXPECT_EQ(flat.references.size(), 1u);
  TemporaryFolder folder;
  const std::unique_ptr<TraceSink> sink = create_trace(folder.file("a.ctr"), cut->info());
  cut->rewind();
  while (const std::optional<TraceItem> item = cut->next()) sink->put(*item);
  sink->finish();
  return open_trace({folder.file("a.ctr")})->info().resident.value();
}

TEST(Cut, KeepsWhatWasTouchedBeforeItsWindow) {
  const TraceEvent vma = make_event(Op::vma, 16 * kPage, 8 * kPage);
  const auto resident = resident_of_cut(loads({16, 18, 40, 20}), {kProcess, vma}, 2);
  EXPECT_EQ(resident.at(1), pages({16, 18}));  // not 40, which the window touches first
}

TEST(Cut, LeavesOutWhatTheProgramGaveBack) {
  const TraceEvent vma = make_event(Op::vma, 16 * kPage, 8 * kPage);
  TraceEvent drop = make_event(Op::madvise, 18 * kPage, kPage);
  drop.advice = 4;  // MADV_DONTNEED
  TraceEvent move = make_event(Op::mremap, 20 * kPage, 2 * kPage);
  move.new_address = 64 * kPage, move.new_length = 2 * kPage;
  const auto resident =
      resident_of_cut(loads({16, 17, 18, 20, 16}),
                      {kProcess, vma, at(4, make_event(Op::munmap, 17 * kPage, kPage)), at(4, drop), at(4, move)}, 4);
  EXPECT_EQ(resident.at(1), pages({16, 64}));
}

TEST(Cut, GivesAForkedChildItsParentsPages) {
  TraceEvent fork = make_event(Op::fork);
  fork.value = 2, fork.new_tid = 1;
  const auto resident =
      resident_of_cut(loads({16, 17, 16}), {kProcess, make_event(Op::vma, 16 * kPage, 8 * kPage), at(1, fork)}, 2);
  EXPECT_EQ(resident.at(2), pages({16}));
  EXPECT_EQ(resident.at(1).front().pages(), 2u);
}

}  // namespace
}  // namespace collapsar

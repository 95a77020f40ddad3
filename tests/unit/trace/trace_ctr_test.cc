#include <algorithm>

#include "sim/core/random.h"
#include "tests/unit/trace/trace_testing.h"

namespace collapsar {
namespace {

using namespace testing;
using Op = TraceEvent::Op;

Record random_record(Random& random, unsigned variety) {
  Record r;
  r.va = random.below(1ULL << (variety == 0 ? 14 : 38));
  r.instructions = static_cast<std::uint32_t>(random.below(variety == 2 ? 1ULL << 32 : 3));
  r.size = static_cast<std::uint16_t>(1 + random.below(variety == 2 ? 65535 : 8));
  r.kind = static_cast<RefKind>(random.below(6));
  r.flags = static_cast<std::uint8_t>(random.below(2));
  return r;
}

TraceEvent random_event(Random& random) {
  TraceEvent e = make_event(static_cast<Op>(random.below(static_cast<std::uint64_t>(Op::truncated) + 1)));
  e.pid = static_cast<std::uint32_t>(random.next()), e.tid = static_cast<std::uint32_t>(random.below(3));
  e.stamp_ns = static_cast<std::int64_t>(random.next());
  for (std::uint64_t* v :
       {&e.address, &e.length, &e.new_address, &e.new_length, &e.offset, &e.value, &e.new_tid, &e.file}) {
    *v = random.next() >> random.below(64);
  }
  e.prot = static_cast<std::uint32_t>(random.below(8)), e.map_flags = static_cast<std::uint32_t>(random.next());
  e.advice = static_cast<std::uint32_t>(random.below(30));
  e.name = std::string(random.below(20), 'x');
  return e;
}

// Writes random items and returns what must be read back.
FlatTrace write_random(const std::string& file, std::uint64_t seed, std::size_t items, std::size_t longest,
                       unsigned variety) {
  Random random(seed, "test");
  FlatTrace flat;
  TraceInfo info;
  info.program = "p", info.command = "p -q", info.notes = {"a note"}, info.has_stamps = true, info.complete = false;
  const std::unique_ptr<TraceSink> sink = create_trace(file, info);
  std::int64_t now = 0;
  for (std::size_t i = 0; i < items; ++i) {
    if (random.below(3) == 0) {
      TraceEvent e = random_event(random);
      sink->put(e);
      e.index = flat.references.size();
      flat.events.push_back(e);
      continue;
    }
    std::vector<Record> records(1 + random.below(longest));
    for (Record& r : records) r = random_record(random, variety);
    TraceRun run =
        make_run(records, 1 + static_cast<std::uint32_t>(random.below(2)), static_cast<std::uint32_t>(random.below(3)));
    // One tick per record: interpolation is exact whatever the cuts.
    run.begin_ns = now, run.end_ns = now += static_cast<std::int64_t>(records.size());
    for (std::size_t k = 0; k < records.size(); ++k) {
      flat.references.push_back({run.pid, run.tid, records[k], run.begin_ns + static_cast<std::int64_t>(k)});
    }
    sink->put(run);
    now += static_cast<std::int64_t>(random.below(100));
  }
  sink->finish();
  return flat;
}

class CtrRoundTrip : public ::testing::TestWithParam<unsigned> {};

TEST_P(CtrRoundTrip, GivesBackEveryItem) {
  TemporaryFolder folder;
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    const std::string file = folder.file("a.ctr");
    const FlatTrace written = write_random(file, seed, 40, seed % 2 ? 20000 : 50, GetParam());
    const std::unique_ptr<TraceSource> source = open_trace({file});
    EXPECT_TRUE(read_flat(*source) == written);
    source->rewind();
    EXPECT_TRUE(read_flat(*source) == written);
    EXPECT_EQ(source->info().references, written.references.size());
    EXPECT_EQ(source->info().events, written.events.size());
    EXPECT_EQ(source->info().command, "p -q");
    EXPECT_EQ(source->info().notes, std::vector<std::string>{"a note"});
    EXPECT_EQ(source->info().format, "ctr");
    EXPECT_EQ(source->info().name, "a.ctr");
  }
}
// Few shapes, many addresses; and so many shapes that they are escaped or stored as planes.
INSTANTIATE_TEST_SUITE_P(Variety, CtrRoundTrip, ::testing::Values(0u, 1u, 2u));

TEST(Ctr, HoldsATraceWithoutReferences) {
  TemporaryFolder folder;
  const std::string file = folder.file("a.ctr");
  const std::unique_ptr<TraceSink> sink = create_trace(file, {});
  sink->put(make_event(Op::process));
  sink->finish();
  const FlatTrace flat = read_flat(*open_trace({file}));
  EXPECT_TRUE(flat.references.empty());
  EXPECT_EQ(flat.events.size(), 1u);
}

TEST(Ctr, HasTheSameHashHoweverItIsCut) {
  TemporaryFolder folder;
  write_random(folder.file("a.ctr"), 1, 30, 5000, 1);
  const std::unique_ptr<TraceSource> source = open_trace({folder.file("a.ctr")});
  const std::unique_ptr<TraceSink> sink = create_trace(folder.file("b.ctr"), source->info());
  while (const std::optional<TraceItem> item = source->next()) {
    const auto* run = std::get_if<TraceRun>(&*item);
    if (!run) sink->put(*item);
    for (std::size_t i = 0; run && i < run->records.size(); i += 7) {
      TraceRun piece = *run;
      piece.records = run->records.subspan(i, std::min<std::size_t>(7, run->records.size() - i));
      sink->put(piece);
    }
  }
  sink->finish();
  EXPECT_EQ(open_trace({folder.file("b.ctr")})->info().hash, source->info().hash);
}

TEST(Ctr, ThatWasNotFinishedLeavesNoFile) {
  TemporaryFolder folder;
  {
    const std::unique_ptr<TraceSink> sink = create_trace(folder.file("a.ctr"), {});
    sink->put(make_run({load(4096)}));
    EXPECT_FALSE(std::filesystem::exists(folder.file("a.ctr")));
  }
  EXPECT_EQ(folder.files(), 0u);
}

TEST(Ctr, RefusesToWriteAReferenceOfSizeZero) {
  TemporaryFolder folder;
  const std::unique_ptr<TraceSink> sink = create_trace(folder.file("a.ctr"), {});
  const std::vector<Record> records{load(1), load(2, 0)};
  EXPECT_NE(trace_error_of([&] { sink->put(make_run(records)); }).find("record 1"), std::string::npos);
}

TEST(Ctr, CutAnywhereIsAnError) {
  TemporaryFolder folder;
  write_random(folder.file("a.ctr"), 3, 9, 12, 1);
  for (std::uint64_t size = std::filesystem::file_size(folder.file("a.ctr")); size-- > 0;) {
    std::filesystem::resize_file(folder.file("a.ctr"), size);
    const std::string error = trace_error_of([&] { read_flat(*open_trace({folder.file("a.ctr")})); });
    ASSERT_NE(error.find("byte offset"), std::string::npos) << size << ": " << error;
  }
}

TEST(Ctr, WithAnyByteChangedIsAnErrorOrTheSame) {
  TemporaryFolder folder;
  const FlatTrace written = write_random(folder.file("a.ctr"), 4, 9, 12, 1);
  const std::string whole = read_file(folder.file("a.ctr"));
  std::fstream file(folder.file("a.ctr"), std::ios::binary | std::ios::in | std::ios::out);
  const auto put = [&](std::size_t at, char byte) { file.seekp(static_cast<std::streamoff>(at)).put(byte).flush(); };
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const char flip : {'\x01', '\x80', '\xff'}) {
      put(at, static_cast<char>(whole[at] ^ flip));
      FlatTrace flat;
      const std::string error = trace_error_of([&] { flat = read_flat(*open_trace({folder.file("a.ctr")})); });
      ASSERT_TRUE(!error.empty() || flat == written) << "byte " << at;
    }
    put(at, whole[at]);
  }
}

TEST(Ctr, OfAnotherVersionIsRefusedByNumber) {
  TemporaryFolder folder;
  write_random(folder.file("a.ctr"), 5, 3, 5, 0);
  std::string bytes = read_file(folder.file("a.ctr"));
  bytes[8] = 2;
  write_file(folder.file("a.ctr"), bytes);
  const std::string error = trace_error_of([&] { open_trace({folder.file("a.ctr")}); });
  EXPECT_NE(error.find("version 2 is unknown; 1 is right"), std::string::npos) << error;
}

TEST(Ctr, EmptyAndForeignFilesAreRefused) {
  TemporaryFolder folder;
  write_file(folder.file("empty.ctr"), "");
  write_file(folder.file("foreign.ctr"), "what is this\n");
  EXPECT_NE(trace_error_of([&] { open_trace({folder.file("empty.ctr")}); }).find("byte offset 0"), std::string::npos);
  EXPECT_NE(trace_error_of([&] { open_trace({folder.file("foreign.ctr")}); }).find("format is unknown"),
            std::string::npos);
  EXPECT_NE(trace_error_of([&] { open_trace({folder.file("missing.ctr")}); }).find("cannot be opened"),
            std::string::npos);
}

}  // namespace
}  // namespace collapsar

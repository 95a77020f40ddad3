#include "sim/trace/trace_block.h"

#include "sim/core/random.h"
#include "sim/trace/trace_ctr.h"
#include "tests/unit/trace/trace_testing.h"

namespace collapsar {
namespace {

using namespace testing;

struct Block {
  BlockFrame frame;
  std::vector<Record> records;
  std::vector<std::uint8_t> bytes() const {
    ByteWriter out;
    encode_block(frame, records, out);
    return out.bytes;
  }
};

// `shapes` different second words; more than 255 are escaped, very many stored as planes.
Block make_block(std::uint32_t references, std::uint32_t shapes) {
  Random random(references, "test");
  Block block;
  block.frame.references = references;
  block.frame.threads = {{0, 1, 1}, {references / 2, 1, 2}};
  block.frame.segments = {{0, 0, 100}, {references / 3, 150, 130}};
  block.frame.events = {{0, make_event(TraceEvent::Op::process)}, {references, make_event(TraceEvent::Op::exit)}};
  for (std::uint32_t i = 0; i < references; ++i) {
    Record r = load(random.next());
    // Half of the references have the most frequent shape.
    r.instructions = i % 2 ? 0 : static_cast<std::uint32_t>(random.below(shapes));
    block.records.push_back(r);
  }
  return block;
}

class BlockOf : public ::testing::TestWithParam<std::uint32_t> {};

TEST_P(BlockOf, ManyShapesComesBack) {
  for (const std::uint32_t references : {6u, 15u, 16u, 17u, 1024u, 1025u, 65536u}) {
    const Block block = make_block(references, GetParam());
    std::vector<Record> records(kBlockReferences);
    ContentHash read, written;
    const BlockFrame frame = decode_block(block.bytes(), 0, records.data(), read);
    records.resize(references);
    EXPECT_TRUE(records == block.records);
    EXPECT_EQ(frame.threads, block.frame.threads);
    EXPECT_EQ(frame.segments, block.frame.segments);
    ASSERT_EQ(frame.events.size(), 2u);
    EXPECT_EQ(frame.events[1].event.index, references);
    written.add(block.records);
    EXPECT_EQ(read.value(), written.value());
  }
}

// Not tight, but sure: nothing lies above; and of records far below 2^47 it says so.
TEST_P(BlockOf, ManyShapesSaysHowFarTheyReach) {
  Random random(3, "test");
  for (const std::uint32_t references : {6u, 16u, 33u, 2000u}) {
    Block block = make_block(references, GetParam());
    for (const std::uint64_t end : {1ULL << 47, 1ULL << 56}) {
      for (Record& r : block.records) r.va = random.below(end - 0x20000), r.size = 0xffff;
      const auto reach_of = [&] {
        std::vector<Record> records(kBlockReferences);
        ContentHash unused;
        return decode_block(block.bytes(), 0, records.data(), unused).reach;
      };
      const std::uint64_t reach = reach_of();
      EXPECT_LT(reach, end);
      for (const Record& r : block.records) EXPECT_GE(reach, r.va + r.size - 1);
      Record& last = block.records[random.below(references)];
      last.va = end - 1, last.size = 2;
      EXPECT_GE(reach_of(), end);
      last.va = ~0ULL;
      EXPECT_GE(reach_of(), end);
    }
  }
}

// Behind the checksums nothing is trusted either: whatever the bytes, an answer or Malformed.
TEST_P(BlockOf, ManyShapesSurvivesAnyChange) {
  Random random(1, "test");
  const std::vector<std::uint8_t> whole = make_block(40, GetParam()).bytes();
  std::vector<Record> records(kBlockReferences);
  ContentHash unused;
  for (int i = 0; i < 20000; ++i) {
    std::vector<std::uint8_t> bytes = whole;
    for (std::uint64_t changes = 1 + random.below(3); changes > 0; --changes) {
      bytes[random.below(bytes.size())] = static_cast<std::uint8_t>(random.next());
    }
    if (random.below(4) == 0) bytes.resize(random.below(bytes.size()));
    try {
      EXPECT_LE(decode_block(bytes, 0, records.data(), unused).references, kBlockReferences);
    } catch (const Malformed& m) {
      EXPECT_FALSE(m.what.empty());
      EXPECT_LE(m.offset, bytes.size());
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Shapes, BlockOf, ::testing::Values(1u, 3u, 300u, 4'000'000'000u));

TEST(CtrFooter, SurvivesAnyChange) {
  Random random(2, "test");
  CtrFooter footer;
  footer.info.program = "p", footer.info.notes = {"n"}, footer.info.hash = "0";
  footer.info.resident = {{{1, {{{4096}, {8192}}, {{65536}, {131072}}}}, {2, {}}}};
  footer.index = {{32, 0, 5, 100, 200, 0, true, false}, {164, 5, 5, 100, 200, 9, false, true}};
  const std::vector<std::uint8_t> whole = encode_ctr_footer(footer);
  EXPECT_TRUE(decode_ctr_footer(whole, 100).info.resident == footer.info.resident);
  for (int i = 0; i < 20000; ++i) {
    std::vector<std::uint8_t> bytes = whole;
    bytes[random.below(bytes.size())] = static_cast<std::uint8_t>(random.next());
    if (random.below(4) == 0) bytes.resize(random.below(bytes.size()));
    try {
      decode_ctr_footer(bytes, 100);
    } catch (const Malformed& m) {
      EXPECT_FALSE(m.what.empty());
    }
  }
}

// Zeros pack well: a file of some kilobytes may unpack to a footer of 256 MiB.
TEST(CtrFooter, ListsNoMoreThanFitsInMemory) {
  const auto read = [](std::uint8_t flags, std::initializer_list<std::uint64_t> numbers) {
    ByteWriter out;
    out.text(""), out.text(""), out.varint(0), out.varint(0), out.text("");
    out.u8(flags);
    for (const std::uint64_t n : numbers) out.varint(n);
    out.bytes.resize(out.bytes.size() + 2 * (kCtrResidentRanges + 1) + 1);
    try {
      decode_ctr_footer(out.bytes, 1u << 20);
    } catch (const Malformed& m) {
      return m.what.substr(0, m.what.find(" is "));
    }
    return std::string("read");
  };
  constexpr std::uint8_t kResident = 32;
  EXPECT_EQ(read(0, {kCtrNotes + 1}), "number of notes");
  EXPECT_EQ(read(kResident, {0, kCtrResidentProcesses + 1}), "number of processes");
  EXPECT_EQ(read(kResident, {0, 1, 7, kCtrResidentRanges + 1}), "number of resident ranges");
  EXPECT_EQ(read(kResident, {0, 1, 7, kCtrResidentRanges}), "the footer has bytes behind its end");
}

}  // namespace
}  // namespace collapsar

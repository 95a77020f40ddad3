// Formats of others that need no more than a few lines: din and ChampSim; what all foreign formats share; packed files.
#include <bzlib.h>
#include <lzma.h>
#include <zlib.h>

#include <set>

#include "tests/unit/trace/trace_testing.h"

namespace collapsar {
namespace {

using namespace testing;
using Op = TraceEvent::Op;

const std::string kData = COLLAPSAR_SOURCE_DIR "/tests/unit/trace/data/";

FlatTrace read_bytes(const std::string& bytes, TraceInfo* info = nullptr) {
  TemporaryFolder folder;
  write_file(folder.file("a"), bytes);
  return read_twice({folder.file("a")}, info);
}

std::string gzip(const std::string& bytes) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, bytes.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data()), stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string xz(const std::string& bytes) {
  std::string out(lzma_stream_buffer_bound(bytes.size()), '\0');
  std::size_t size = 0;
  EXPECT_EQ(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC64, nullptr, reinterpret_cast<const std::uint8_t*>(bytes.data()),
                                    bytes.size(), reinterpret_cast<std::uint8_t*>(out.data()), &size, out.size()),
            LZMA_OK);
  out.resize(size);
  return out;
}

std::string bzip2(const std::string& bytes) {
  std::string out(bytes.size() * 2 + 1000, '\0');
  auto size = static_cast<unsigned>(out.size());
  EXPECT_EQ(BZ2_bzBuffToBuffCompress(out.data(), &size, const_cast<char*>(bytes.data()),
                                     static_cast<unsigned>(bytes.size()), 9, 0, 0),
            BZ_OK);
  out.resize(size);
  return out;
}

std::string champsim(std::uint64_t ip, std::vector<std::uint64_t> loads, std::vector<std::uint64_t> stores) {
  loads.resize(4), stores.resize(2);
  std::string record(64, '\0');
  std::memcpy(record.data(), &ip, 8);
  std::memcpy(record.data() + 16, stores.data(), 16);
  std::memcpy(record.data() + 32, loads.data(), 32);
  return record;
}

std::vector<Record> records_of(const FlatTrace& flat) {
  std::vector<Record> records;
  for (const auto& reference : flat.references) records.push_back(reference.record);
  return records;
}

// Pages that data references touch.
std::set<std::uint64_t> data_pages(const FlatTrace& flat) {
  std::set<std::uint64_t> pages;
  for (const auto& [pid, tid, r, stamp] : flat.references) {
    if (r.kind == RefKind::fetch) continue;
    for (std::uint64_t page = r.va >> kPageShift; page <= (r.va + r.size - 1) >> kPageShift; ++page) pages.insert(page);
  }
  return pages;
}

bool has_note(const TraceInfo& info, const std::string& start) {
  return std::any_of(info.notes.begin(), info.notes.end(), [&](const auto& note) { return note.starts_with(start); });
}

const std::string kDin = "2 401000\n0 7fff0010 a comment\n1 0x7fff2000\n\n4 0\n2 401004\n";

TEST(Din, ReadsLabelsAndAddresses) {
  TraceInfo info;
  const std::vector<Record> expected = {{0x401000, 1, 1, RefKind::fetch, 0},
                                        {0x7fff0010, 0, 1, RefKind::load, 0},
                                        {0x7fff2000, 0, 1, RefKind::store, 0},
                                        {0x401004, 1, 1, RefKind::fetch, 0}};
  const FlatTrace flat = read_bytes(kDin, &info);
  EXPECT_EQ(records_of(flat), expected);
  EXPECT_EQ(info.format, "din");
  EXPECT_TRUE(info.has_instructions);
  EXPECT_FALSE(info.has_mappings);
  EXPECT_TRUE(has_note(info, "VMAs inferred"));
  ASSERT_EQ(flat.events.size(), 3u);  // the process, its text, its data: a gap of one page is closed
  EXPECT_EQ(flat.events[2].address, 0x7fff0000u);
  EXPECT_EQ(flat.events[2].length, 3 * kPageBytes);
}

TEST(Din, EstimatesTheGapsOfATraceWithoutFetches) {
  TraceInfo info;
  const FlatTrace flat = read_bytes("0 1000\n1 2000\n", &info);
  EXPECT_FALSE(info.has_instructions);
  EXPECT_TRUE(has_note(info, "instruction gaps estimated: 3 per data reference"));
  EXPECT_EQ(flat.references[1].record.instructions, 3u);
}

TEST(Din, NamesTheLineThatIsWrong) {
  for (const char* bad : {"5 1000\n", "0\n", "0 xyz\n", "00 1000\n", "0 11112222333344445\n"}) {
    const std::string error = trace_error_of([&] { read_bytes(kDin + bad); });
    EXPECT_NE(error.find("line 7, byte offset"), std::string::npos) << bad << error;
  }
}

TEST(Champsim, ReadsOneInstructionPerRecord) {
  TraceInfo info;
  const FlatTrace flat =
      read_bytes(champsim(0x401000, {0x1000, 0x2008}, {0x2008}) + champsim(0x401004, {}, {0x3000, 0x4000}), &info);
  const std::vector<Record> expected = {{0x401000, 1, 1, RefKind::fetch, 0}, {0x1000, 0, 1, RefKind::load, 0},
                                        {0x2008, 0, 1, RefKind::modify, 0},  {0x401004, 1, 1, RefKind::fetch, 0},
                                        {0x3000, 0, 1, RefKind::store, 0},   {0x4000, 0, 1, RefKind::store, 0}};
  EXPECT_EQ(records_of(flat), expected);
  EXPECT_EQ(info.format, "champsim");
  EXPECT_TRUE(info.has_instructions);
  EXPECT_TRUE(has_note(info, "VMAs inferred"));
  EXPECT_TRUE(has_note(info, "sizes not recorded"));
}

TEST(Champsim, RefusesWhatNoProgramDoes) {
  std::string many;
  for (int i = 0; i < 100; ++i) many += champsim(0x401000, {0x1000}, {});
  EXPECT_NE(trace_error_of([&] { read_bytes(many + champsim(0, {}, {})); }).find("record 100, byte offset 6400"),
            std::string::npos);
  EXPECT_NE(trace_error_of([&] { read_bytes(many + "123"); }).find("the last record has 3 bytes"), std::string::npos);
  EXPECT_NE(trace_error_of([&] { read_bytes(std::string(640, '\1')); }).find("the format is unknown"),
            std::string::npos);
}

TEST(PackedTraces, ReadTheSame) {
  std::string many;
  for (std::uint64_t i = 0; i < 20000; ++i) many += champsim(0x401000 + i, {0x1000 * i + 8}, {});
  for (const std::string& bytes : {kDin, many}) {
    const FlatTrace plain = read_bytes(bytes);
    for (const auto& pack : {gzip, xz, bzip2, zstd}) {
      const std::string packed = pack(bytes);
      EXPECT_TRUE(plain == read_bytes(packed));
      EXPECT_TRUE(read_bytes(bytes + bytes) == read_bytes(packed + packed));  // two streams in one file
      EXPECT_FALSE(trace_error_of([&] { read_bytes(packed.substr(0, packed.size() - 3)); }).empty());
      EXPECT_FALSE(trace_error_of([&] { read_bytes(packed + "more"); }).empty());
    }
  }
}

TEST(ForeignFormats, RefuseAReferenceBeyondTheLastAddress) {
  EXPECT_NE(trace_error_of([] { read_bytes(" L ffffffffffffffff,8\n"); }).find("beyond the last address"),
            std::string::npos);
}

TEST(ForeignFormats, InferNoMoreVmasThanTheKernelAllows) {
  std::string din;
  constexpr std::uint64_t kPages = 70000;  // vm.max_map_count is 65530
  for (std::uint64_t i = 0; i < kPages; ++i) din += fmt::format("0 {:x}\n", 0x10000000 + i * 64 * kPageBytes);
  const FlatTrace flat = read_bytes(din);
  EXPECT_EQ(flat.events.size(), 2u);  // all 256 KiB apart: one VMA
  EXPECT_EQ(flat.events[1].length, (64 * (kPages - 1) + 1) * kPageBytes);
}

TEST(ForeignFormats, RefuseATraceThatTouchesEveryCorner) {
  std::string din;
  for (std::uint64_t i = 0; i < 32769; ++i) din += fmt::format("0 {:x}\n", i << 27);
  EXPECT_NE(trace_error_of([&] { read_bytes(din); }).find("more than 32768 stretches"), std::string::npos);
}

// One program, captured by lackey (Valgrind 3.19), with and without system calls, and by perf (page faults): data/tiny.c.
// The other formats are made from lackey's text, as a converter would.
class OneProgram : public ::testing::Test {
 protected:
  void SetUp() override {
    lackey_ = read_twice({kData + "tiny.lackey"});
    pages_ = data_pages(lackey_);
    ASSERT_EQ(pages_.size(), 23u);  // 16 of the mapping, 3 of the heap, 3 of the table, 1 of the stack
  }
  std::string as_text(const char* (*word)(RefKind), bool has_size) const {
    std::string text;
    for (const auto& [pid, tid, r, stamp] : lackey_.references)
      text += has_size ? fmt::format("{} {:#x} {}\n", word(r.kind), r.va, r.size)
                       : fmt::format("{} {:x}\n", word(r.kind), r.va);
    return text;
  }
  // Within 2 %, both ways.
  void expect_same_footprint(const FlatTrace& other) const {
    const std::set<std::uint64_t> pages = data_pages(other);
    std::vector<std::uint64_t> differ;
    std::set_symmetric_difference(pages.begin(), pages.end(), pages_.begin(), pages_.end(), std::back_inserter(differ));
    EXPECT_LE(static_cast<double>(differ.size()), 0.02 * static_cast<double>(pages_.size()));
  }
  FlatTrace lackey_;
  std::set<std::uint64_t> pages_;
};

TEST_F(OneProgram, HasTheSameFootprintInEveryFormat) {
  expect_same_footprint(read_twice({kData + "tiny.sys.lackey"}));
  expect_same_footprint(
      read_bytes("collapsar-trace 1\n" +
                 as_text([](RefKind k) { return k == RefKind::fetch ? "f"
                                                : is_write(k)       ? "s"
                                                                    : "l"; }, true)));
  expect_same_footprint(
      read_bytes(as_text([](RefKind k) { return k == RefKind::fetch ? "2"
                                                : is_write(k)       ? "1"
                                                                    : "0"; }, false)));
  std::string records;
  for (const auto& [pid, tid, r, stamp] : lackey_.references) {
    if (r.kind == RefKind::fetch) records += champsim(r.va, {}, {});
    else std::memcpy(records.data() + records.size() - 64 + (is_write(r.kind) ? 16 : 32), &r.va, 8);
  }
  expect_same_footprint(read_bytes(xz(records)));
}

TEST_F(OneProgram, FaultsWhereLackeySeesItTouch) {
  TraceInfo info;
  const FlatTrace faults = read_twice({kData + "tiny.perf.txt"}, &info);
  EXPECT_EQ(info.format, "perf");
  EXPECT_TRUE(info.has_stamps);
  EXPECT_TRUE(has_note(info, "VMAs inferred"));
  // Addresses differ (Valgrind lays out memory its own way), counts do not: no page is left out, none is added.
  EXPECT_EQ(data_pages(faults).size(), pages_.size());
}

}  // namespace
}  // namespace collapsar

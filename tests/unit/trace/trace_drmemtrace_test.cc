// drmemtrace. DynamoRIO is not packaged: the files are made here from the description of its format.
#include <minizip/zip.h>

#include "tests/unit/trace/trace_testing.h"

namespace collapsar {
namespace {

using namespace testing;
using Op = TraceEvent::Op;

std::string entry(std::uint16_t type, std::uint16_t size, std::uint64_t value) {
  std::string bytes(12, '\0');
  std::memcpy(bytes.data(), &type, 2);
  std::memcpy(bytes.data() + 2, &size, 2);
  std::memcpy(bytes.data() + 4, &value, 8);
  return bytes;
}
std::string marker(std::uint16_t kind, std::uint64_t value) { return entry(28, kind, value); }
std::string fetch(std::uint64_t pc, std::uint16_t size = 4) { return entry(10, size, pc); }
std::string header(std::uint64_t tid, std::uint64_t version, std::uint64_t file_type = 0x40) {
  return entry(25, 0, version) + marker(12, version) + marker(9, file_type) + entry(22, 0, tid) + entry(24, 0, 700) +
         marker(10, 64) + marker(18, 4096);
}
std::string footer(std::uint64_t tid) { return entry(23, 0, tid) + entry(26, 0, 0); }
std::string call(std::uint64_t number, const std::vector<std::uint64_t>& arguments, std::uint64_t result,
                 bool has_failed = false) {
  const std::string id = marker(4, 0x100000000 + number);
  std::string bytes = marker(25, number) + id;
  for (const std::uint64_t a : arguments) bytes += marker(6, a);
  bytes += id + marker(7, result);
  return has_failed ? bytes + marker(30, 12) : bytes;
}

void write_zip(const std::string& name, const std::vector<std::string>& chunks) {
  zipFile zip = zipOpen64(name.c_str(), APPEND_STATUS_CREATE);
  ASSERT_NE(zip, nullptr);
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    const std::string member = fmt::format("chunk.{:04}", i);
    ASSERT_EQ(zipOpenNewFileInZip64(zip, member.c_str(), nullptr, nullptr, 0, nullptr, 0, nullptr, Z_DEFLATED, 6, 0),
              0);
    ASSERT_EQ(zipWriteInFileInZip(zip, chunks[i].data(), static_cast<unsigned>(chunks[i].size())), 0);
    ASSERT_EQ(zipCloseFileInZip(zip), 0);
  }
  ASSERT_EQ(zipClose(zip, nullptr), 0);
}

// A recording of one thread, in a plain file.
FlatTrace read_thread(const std::string& body, TraceInfo* info = nullptr, std::uint64_t version = 6,
                      std::uint64_t file_type = 0x40) {
  TemporaryFolder folder;
  const std::string file = folder.file("drmemtrace.app.701.0000.trace");
  write_file(file, header(701, version, file_type) + marker(2, 1000) + body + footer(701));
  return read_twice({file}, info);
}

std::vector<TraceEvent> calls_of(const FlatTrace& flat) {
  std::vector<TraceEvent> calls;
  for (const TraceEvent& e : flat.events)
    if (e.op != Op::process && e.op != Op::vma && e.op != Op::heap_room) calls.push_back(e);
  return calls;
}

TEST(Drmemtrace, MergesThreadsByTheirStamps) {
  TemporaryFolder folder;
  std::filesystem::create_directories(folder.file("app.dir/trace"));
  write_zip(folder.file("app.dir/trace/drmemtrace.app.701.0000.trace.zip"),
            {header(701, 5) + marker(2, 1000) + fetch(0x401000) + entry(0, 8, 0x7f0000001000),
             marker(20, 10) + marker(2, 3000) + fetch(0x401004) + footer(701)});
  write_zip(folder.file("app.dir/trace/drmemtrace.app.702.0001.trace.zip"),
            {header(702, 5) + marker(2, 2000) + fetch(0x402000) + entry(1, 4, 0x7f0000002000) + footer(702)});
  write_file(folder.file("app.dir/trace/serial_schedule.bin.gz"), "not a thread");
  TraceInfo info;
  const FlatTrace flat = read_twice({folder.file("app.dir")}, &info);
  EXPECT_EQ(info.name, "app.dir");
  EXPECT_EQ(info.format, "drmemtrace");
  EXPECT_EQ(info.program, "app");
  EXPECT_TRUE(info.has_instructions && info.has_stamps && !info.has_mappings);
  const std::vector<FlatTrace::Reference> expected = {
      {700, 701, {0x401000, 1, 4, RefKind::fetch, 0}, 0},
      {700, 701, {0x7f0000001000, 0, 8, RefKind::load, 0}, 1'000'000},  // half-way to the next stamp
      {700, 702, {0x402000, 1, 4, RefKind::fetch, 0}, 1'000'000},
      {700, 702, {0x7f0000002000, 0, 4, RefKind::store, 0}, 1'000'000},
      {700, 701, {0x401004, 1, 4, RefKind::fetch, 0}, 2'000'000}};
  EXPECT_EQ(flat.references, expected);
  const std::vector<TraceEvent> calls = calls_of(flat);
  ASSERT_EQ(calls.size(), 1u);
  EXPECT_EQ(calls[0].op, Op::thread);
  EXPECT_EQ(calls[0].tid, 701u);
  EXPECT_EQ(calls[0].value, 702u);
  EXPECT_EQ(calls[0].index, 2u);
}

TEST(Drmemtrace, CountsInstructionsThatFetchNothingAndBundles) {
  const FlatTrace flat =
      read_thread(fetch(0x401000, 3) + entry(17, 2, 0x0504) + entry(29, 3, 0x401000) + entry(0, 8, 0x5000) +
                  entry(47, 4, 0xffff) + entry(4, 1, 0x9000) + entry(49, 2, 0x40100c));
  ASSERT_EQ(flat.references.size(), 5u);
  EXPECT_EQ(flat.references[1].record, (Record{0x401003, 1, 4, RefKind::fetch, 0}));
  EXPECT_EQ(flat.references[2].record, (Record{0x401007, 1, 5, RefKind::fetch, 0}));
  EXPECT_EQ(flat.references[3].record, (Record{0x5000, 1, 8, RefKind::load, 0}));
  EXPECT_EQ(flat.references[4].record, (Record{0x40100c, 1, 2, RefKind::fetch, 0}));
}

TEST(Drmemtrace, TakesSystemCallsWithArgumentsAndResults) {
  TraceInfo info;
  const std::string body = fetch(0x401000) + call(9, {0, 8192, 3, 34, ~0ULL, 0}, 0x7f0000000000) +
                           call(9, {0, 8192, 3, 34, ~0ULL, 0}, static_cast<std::uint64_t>(-12), true) +
                           entry(1, 8, 0x7f0000000000) + call(28, {0x7f0000000000, 8192, 14}, 0) +
                           call(202, {1, 2}, 0) + call(11, {0x7f0000000000, 8192}, 0) + call(25, {1}, 0x1000) +
                           fetch(0x401004);
  const FlatTrace flat = read_thread(body, &info);
  const std::vector<TraceEvent> calls = calls_of(flat);
  ASSERT_EQ(calls.size(), 3u);
  EXPECT_EQ(calls[0].op, Op::mmap);
  EXPECT_EQ(calls[0].address, 0x7f0000000000u);
  EXPECT_EQ(calls[0].length, 8192u);
  EXPECT_EQ(calls[0].prot, 3u);
  EXPECT_EQ(calls[0].index, 1u);
  EXPECT_EQ(calls[0].pid, 700u);
  EXPECT_EQ(calls[1].op, Op::madvise);
  EXPECT_EQ(calls[1].advice, 14u);
  EXPECT_EQ(calls[2].op, Op::munmap);
  EXPECT_TRUE(info.has_mappings);
  EXPECT_NE(std::find(info.notes.begin(), info.notes.end(),
                      "1 system calls left out: recorded without their arguments or result"),
            info.notes.end());
  for (const TraceEvent& e : flat.events) EXPECT_FALSE(e.op == Op::vma && e.address >= 0x7f0000000000);
}

TEST(Drmemtrace, TrustsNoAddressThatOldVersionsDoNotTell) {
  TraceInfo info;  // before version 6 a result is 1 for success, 0 for failure
  const std::string body = fetch(0x401000) + call(9, {0, 8192, 3, 34, ~0ULL, 0}, 1) +
                           call(11, {0x7f0000000000, 8192}, 1) + call(11, {0x7f0000000000, 8192}, 0);
  const std::vector<TraceEvent> calls = calls_of(read_thread(body, &info, 5));
  ASSERT_EQ(calls.size(), 1u);
  EXPECT_EQ(calls[0].op, Op::munmap);
}

TEST(Drmemtrace, MixesNoArgumentsOfTwoCalls) {
  const std::string unfinished = marker(25, 11) + marker(4, 0x100000000 + 11) + marker(6, 1) + marker(6, 2);
  const std::string body = fetch(0x401000) + call(11, {0x1000, 4096}, static_cast<std::uint64_t>(-22), true) +
                           call(11, {0x2000, 8192}, 0) + unfinished + call(11, {0x3000, 4096}, 0);
  const std::vector<TraceEvent> calls = calls_of(read_thread(body));
  ASSERT_EQ(calls.size(), 2u);
  EXPECT_EQ(calls[0].address, 0x2000u);
  EXPECT_EQ(calls[0].length, 8192u);
  EXPECT_EQ(calls[1].address, 0x3000u);
}

TEST(Drmemtrace, KnowsTheSystemCallsOfAarch64) {
  const std::vector<TraceEvent> calls =
      calls_of(read_thread(fetch(0x401000) + call(215, {0x7f0000000000, 8192}, 0), nullptr, 6, 0x08));
  ASSERT_EQ(calls.size(), 1u);
  EXPECT_EQ(calls[0].op, Op::munmap);
}

TEST(Drmemtrace, LeavesTheKernelOut) {
  TraceInfo info;
  const FlatTrace flat = read_thread(fetch(0x401000) + marker(27, 1) + fetch(0xffffffff81000000) +
                                         entry(0, 8, 0xffff888000000000) + marker(28, 1) + fetch(0x401004),
                                     &info);
  EXPECT_EQ(flat.references.size(), 2u);
  EXPECT_NE(std::find(info.notes.begin(), info.notes.end(), "2 references of the kernel left out"), info.notes.end());
}

TEST(Drmemtrace, RefusesBrokenRecordings) {
  TemporaryFolder folder;
  const std::string file = folder.file("drmemtrace.app.701.0000.trace");
  const auto error_of = [&](const std::string& bytes) {
    write_file(file, bytes);
    return trace_error_of([&] { read_twice({file}); });
  };
  const std::string good = header(701, 6) + marker(2, 1000) + fetch(0x401000);
  EXPECT_NE(error_of(good).find("record 9, byte offset 108: the file ends without a footer"), std::string::npos);
  EXPECT_NE(error_of(good + "x").find("within an entry"), std::string::npos);
  EXPECT_NE(error_of(good + entry(50, 0, 0)).find("an entry of type 50"), std::string::npos);
  EXPECT_NE(error_of(header(701, 6) + fetch(0x401000) + footer(701)).find("before the first time stamp"),
            std::string::npos);
  EXPECT_NE(error_of(header(701, 6, 0x20) + footer(701)).find("32-bit"), std::string::npos);
  EXPECT_NE(error_of(header(1ULL << 40, 6)).find("thread 1099511627776"), std::string::npos);
  write_zip(file, {good + footer(701)});
  EXPECT_TRUE(trace_error_of([&] { read_twice({file}); }).empty());
  const std::string zip = read_file(file);
  EXPECT_FALSE(error_of(zip.substr(0, zip.size() / 2)).empty());
  std::string flipped = zip;
  flipped[60] = static_cast<char>(flipped[60] ^ 0x10);
  EXPECT_FALSE(error_of(flipped).empty());
  std::filesystem::create_directories(folder.file("empty.dir"));
  EXPECT_NE(trace_error_of([&] { open_trace({folder.file("empty.dir")}); }).find("no drmemtrace"), std::string::npos);
}

}  // namespace
}  // namespace collapsar

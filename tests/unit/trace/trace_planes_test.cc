#include <algorithm>

#include "tests/unit/trace/trace_testing.h"

namespace collapsar {
namespace {

using namespace testing;
using Op = TraceEvent::Op;

std::uint64_t plane_word(unsigned kind, std::uint64_t va, std::uint64_t size = 8) {
  return va | std::uint64_t{kind} << 48 | size << 51;
}
std::uint64_t thread_switch(std::uint64_t thread) { return plane_word(6, thread, 0); }

std::string planes_of(const std::vector<std::uint64_t>& words) {
  std::string bytes = "MTPLANE1";
  for (unsigned i = 0; i < 8; ++i) bytes += static_cast<char>(words.size() >> (8 * i));
  for (std::size_t first = 0; first < words.size(); first += 65536) {
    const std::size_t end = std::min(words.size(), first + 65536);
    for (unsigned p = 0; p < 8; ++p) {
      for (std::size_t i = first; i < end; ++i) bytes += static_cast<char>(words[i] >> (8 * p));
    }
  }
  return bytes;
}

struct PlanesRecording {
  TemporaryFolder folder;
  std::vector<std::string> files;
  void add(const std::string& stem, const std::vector<std::uint64_t>& words, const std::string& events) {
    write_file(folder.file(stem + ".mtp.zst"), zstd(planes_of(words)));
    write_file(folder.file(stem + ".events.zst"), zstd(events));
    files.push_back(folder.file(stem + ".mtp.zst"));
  }
  FlatTrace read(TraceInfo* info = nullptr) const {
    const std::unique_ptr<TraceSource> source = open_trace(files);
    if (info) *info = source->info();
    FlatTrace flat = read_flat(*source);
    EXPECT_EQ(source->info().references, flat.references.size());
    EXPECT_EQ(source->info().events, flat.events.size());
    source->rewind();
    EXPECT_TRUE(read_flat(*source) == flat);
    return flat;
  }
};

std::vector<TraceEvent> only(const FlatTrace& flat, Op op) {
  std::vector<TraceEvent> found;
  std::copy_if(flat.events.begin(), flat.events.end(), std::back_inserter(found),
               [&](const TraceEvent& e) { return e.op == op; });
  return found;
}

const std::string kFirstEvents =
    "0 0 1000 process pid=10 ppid=9 exe=./prog\n"
    "0 0 1000 vma 1000 3000 r-x file off=2000 dev=fe00 ino=7 /bin/prog\n"
    "0 0 1000 vma 4000000 4001000 rwx anon off=0 dev=0 ino=0 -\n"
    "0 0 1000 vma 4001000 4f001000 --- resvn off=0 dev=0 ino=0 - growsup\n"
    "0 0 1000 vma 7000000 7800000 --- resvn off=0 dev=0 ino=0 - growsdown\n"
    "0 0 1000 vma 7800000 7802000 rw- anon off=0 dev=0 ino=0 -\n";

TEST(Planes, ReadsKindsThreadsAndEstimatedInstructions) {
  PlanesRecording r;
  r.add("t.10.0",
        {plane_word(0, 0x1000, 3), plane_word(1, 0x7800000), thread_switch(2), plane_word(2, 0x7800008, 4),
         plane_word(3, 0x7800010), plane_word(4, 0x7800020, 100), plane_word(5, 0x7800fff, 1)},
        kFirstEvents + "7 0 1000 end code=0\n");
  TraceInfo info;
  const FlatTrace flat = r.read(&info);
  ASSERT_EQ(flat.references.size(), 6u);
  EXPECT_EQ(flat.references[0].record, (Record{0x1000, 3, 3, RefKind::fetch, 0}));
  EXPECT_EQ(flat.references[1].record, (Record{0x7800000, 1, 8, RefKind::load, 0}));
  EXPECT_EQ(flat.references[1].tid, 1u);
  EXPECT_EQ(flat.references[2].record, (Record{0x7800008, 1, 4, RefKind::store, 0}));
  EXPECT_EQ(flat.references[2].tid, 2u);
  EXPECT_EQ(flat.references[3].record.kind, RefKind::modify);
  EXPECT_EQ(flat.references[4].record, (Record{0x7800020, 0, 100, RefKind::kernel_read, 0}));
  EXPECT_EQ(flat.references[5].record.kind, RefKind::kernel_write);
  EXPECT_EQ(info.notes.front().find("instruction gaps estimated: 3 per fetch record"), 0u);
  EXPECT_FALSE(info.has_instructions);
  EXPECT_FALSE(info.has_dependence);
  EXPECT_EQ(info.program, "./prog");
}

TEST(Planes, TellsHeapAndStackByTheirRooms) {
  PlanesRecording r;
  r.add("t.10.0", {plane_word(1, 0x1000)},
        kFirstEvents +
            "0 1 1001 sys brk 0 0 0 0 0 0 = 67108864 0x4000000\n0 1 1002 sys brk 4021000 0 0 0 0 0 = 67244032 "
            "0x4021000\n1 0 1003 end\n");
  const FlatTrace flat = r.read();
  ASSERT_EQ(only(flat, Op::heap_room).size(), 1u);
  EXPECT_EQ(only(flat, Op::heap_room)[0].address, 0x4000000u);
  EXPECT_EQ(only(flat, Op::heap_room)[0].length, 0x4f001000u - 0x4000000u);
  EXPECT_EQ(only(flat, Op::stack_room)[0].address, 0x7000000u);
  EXPECT_EQ(only(flat, Op::stack_room)[0].length, 0x800000u);
  ASSERT_EQ(only(flat, Op::vma).size(), 2u);
  EXPECT_EQ(only(flat, Op::vma)[0].prot, 5u);
  EXPECT_EQ(only(flat, Op::vma)[0].offset, 0x2000u);
  EXPECT_EQ(only(flat, Op::vma)[0].name, "/bin/prog");
  ASSERT_EQ(only(flat, Op::brk).size(), 1u);  // the first one changes nothing
  EXPECT_EQ(only(flat, Op::brk)[0].address, 0x4021000u);
}

TEST(Planes, TakesSystemCallsThatSucceeded) {
  PlanesRecording r;
  r.add("t.10.0", {plane_word(1, 0x1000)},
        kFirstEvents +
            "0 1 1001 sys mmap 0 2000 3 22 ffffffff 0 = 36864 0x9000\n"
            "0 1 1001 sys mmap 0 2000 1 2 3 0 = 65536 0x10000\n"
            "0 1 1001 sys mmap 11000 1000 5 12 3 1000 = 69632 0x11000\n"
            "0 1 1001 sys mmap 0 2000 1 2 3 0 = 131072 0x20000\n"
            "0 1 1001 sys mmap 0 2000 3 22 ffffffff 0 = -12 0x0\n"
            "0 1 1001 sys mprotect 9000 1000 1 0 0 0 = 0 0x0\n"
            "0 1 1001 sys madvise 9000 1000 e 0 0 0 = 0 0x0\n"
            "0 1 1001 sys mremap 9000 2000 4000 1 0 0 = 196608 0x30000\n"
            "0 1 1001 sys prctl 29 1 0 0 0 0 = 0 0x0\n"
            "0 1 1001 sys prctl 17 29 0 0 0 0 = 1 0x1\n"
            "0 1 1001 sys munmap 30000 4000 0 0 0 0 = 0 0x0\n"
            "1 1 1002 sys exit_group 0 e7 3c\n"
            "1 1 1002 sys exit_group 0 e7 3c 0 0 0 = 0 0x0\n1 0 1003 end\n");
  const FlatTrace flat = r.read();
  const std::vector<TraceEvent> maps = only(flat, Op::mmap);
  ASSERT_EQ(maps.size(), 4u);
  EXPECT_EQ(maps[0].file, 0u);
  EXPECT_NE(maps[1].file, 0u);
  EXPECT_EQ(maps[2].file, maps[1].file);
  EXPECT_NE(maps[3].file, maps[1].file);
  EXPECT_EQ(maps[2].offset, 0x1000u);
  EXPECT_EQ(only(flat, Op::madvise)[0].advice, 14u);
  EXPECT_EQ(only(flat, Op::mremap)[0].new_address, 0x30000u);
  EXPECT_EQ(only(flat, Op::thp_disable).size(), 1u);
  EXPECT_EQ(only(flat, Op::exit).size(), 1u);
}

TEST(Planes, NumbersThreadsInOrderOfCreation) {
  PlanesRecording r;
  r.add("t.10.0", {plane_word(1, 0x1000), plane_word(1, 0x1000)},
        kFirstEvents +
            "0 1 1001 sys clone3 0 58 0 0 0 0 = -38 0x0\n0 1 1001 sys clone 3d0f00 0 0 0 0 0 = 777 0x309\n"
            "1 1 1001 sys clone 3d0f00 0 0 0 0 0 = 778 0x30a\n2 0 1003 end\n");
  const std::vector<TraceEvent> threads = only(r.read(), Op::thread);
  ASSERT_EQ(threads.size(), 2u);
  EXPECT_EQ(threads[0].value, 2u);
  EXPECT_EQ(threads[1].value, 3u);
}

const std::string kForkLine = "2 1 3000 sys clone 1200011 0 0 0 0 0 = 11 0xb\n";

TEST(Planes, StartsAChildBehindItsFork) {
  PlanesRecording r;
  // The child's first line is older than the parent's return from the call.
  r.add("t.11.0", {plane_word(1, 0x2000), plane_word(1, 0x2008), plane_word(1, 0x2010)},
        "0 1 2000 process pid=11 forked_from=10 parent_index=1\n0 0 2001 vma 1000 3000 r-x file off=0 dev=fe00 ino=7 "
        "/bin/prog\n"
        "0 1 2002 sys clone 1200011 0 0 0 0 0 = 0 0x0\n3 1 8000 sys exit_group 0 e7 3c\n3 0 8000 end\n");
  r.add("t.10.0", {plane_word(1, 0x1000), plane_word(1, 0x1008), plane_word(1, 0x1010), plane_word(1, 0x1018)},
        kFirstEvents + kForkLine + "4 0 9000 end\n");
  const FlatTrace flat = r.read();
  ASSERT_EQ(only(flat, Op::fork).size(), 1u);
  const TraceEvent fork = only(flat, Op::fork)[0];
  EXPECT_EQ(fork.pid, 10u);
  EXPECT_EQ(fork.value, 11u);
  EXPECT_EQ(fork.new_tid, 1u);
  EXPECT_EQ(fork.stamp_ns, 1'000'000);  // the child's first line, from the start of the trace
  EXPECT_EQ(fork.index, 2u);
  for (std::size_t i = 0; i < fork.index; ++i) EXPECT_EQ(flat.references[i].pid, 10u);
  EXPECT_EQ(flat.references[2].pid, 11u);
  EXPECT_EQ(std::count_if(flat.references.begin(), flat.references.end(), [](const auto& x) { return x.pid == 11; }),
            3);
  EXPECT_EQ(only(flat, Op::process).size(), 1u);  // what the child dumped again is not replayed
  EXPECT_EQ(only(flat, Op::vma).size(), 2u);
  EXPECT_EQ(only(flat, Op::exit).size(), 1u);
}

TEST(Planes, InterleavesProcessesByTheirStamps) {
  PlanesRecording r;
  std::vector<std::uint64_t> words(100'000, plane_word(1, 0x1000));
  r.add("t.10.0", words, kFirstEvents + "0 1 1000 sys clone 1200011 0 0 0 0 0 = 11 0xb\n100000 0 101000 end\n");
  r.add("t.11.0", words, "0 1 1000 process pid=11 forked_from=10 parent_index=0\n100000 0 101000 end\n");
  const FlatTrace flat = r.read();
  // One record per microsecond each, in slices of 1 ms: never more than two slices apart.
  std::ptrdiff_t lead = 0, most = 0;
  for (const auto& reference : flat.references) {
    lead += reference.pid == 10 ? 1 : -1;
    most = std::max(most, std::abs(lead));
  }
  EXPECT_LE(most, 2000);
  EXPECT_GE(most, 10);
}

TEST(Planes, KeepsAnUntracedChildUntilItsParentHasWaited) {
  PlanesRecording r;
  r.add("t.10.0", {plane_word(1, 0x1000), plane_word(1, 0x1000), plane_word(1, 0x1000)},
        kFirstEvents + kForkLine + "3 1 4000 sys wait4 b 0 0 0 0 0 = 11 0xb\n3 0 5000 end\n");
  TraceInfo info;
  const FlatTrace flat = r.read(&info);
  ASSERT_EQ(only(flat, Op::exit).size(), 1u);
  EXPECT_EQ(only(flat, Op::exit)[0].pid, 11u);
  EXPECT_NE(info.notes.back().find("process 11 was forked but not traced"), std::string::npos);
}

TEST(Planes, GoesOnWithTheNextImageAfterExec) {
  PlanesRecording r;
  r.add("t.10.1", {plane_word(1, 0x5000)},
        "0 0 4000 process pid=10 ppid=9 exe=./other\n0 0 4000 vma 5000 6000 rw- anon off=0 dev=0 ino=0 -\n1 0 5000 "
        "end\n");
  r.add("t.10.0", {plane_word(1, 0x1000)}, kFirstEvents + "1 1 3000 sys execve 0 0 0\n");
  const FlatTrace flat = r.read();
  ASSERT_EQ(only(flat, Op::exec).size(), 1u);
  EXPECT_EQ(only(flat, Op::exec)[0].name, "./other");
  EXPECT_EQ(only(flat, Op::exec)[0].index, 1u);
  EXPECT_EQ(only(flat, Op::vma).back().address, 0x5000u);
  EXPECT_EQ(flat.references[1].record.va, 0x5000u);
}

TEST(Planes, AreTheSameWrittenAsCtr) {
  PlanesRecording r;
  std::vector<std::uint64_t> words;
  for (std::uint64_t i = 0; i < 200'000; ++i)
    words.push_back(i % 50'000 == 49'999 ? thread_switch(i / 50'000) : plane_word(1 + i % 3, 0x1000 + i * 40 % 8192));
  r.add("t.10.0", words,
        kFirstEvents + "65536 1 3000 sys madvise 1000 1000 e 0 0 0 = 0 0x0\n200000 0 203000 truncated\n");
  const std::unique_ptr<TraceSource> source = open_trace(r.files);
  const FlatTrace flat = read_flat(*source);
  source->rewind();
  const std::unique_ptr<TraceSink> sink = create_trace(r.folder.file("a.ctr"), source->info());
  while (const std::optional<TraceItem> item = source->next()) sink->put(*item);
  sink->finish();
  const FlatTrace written = read_flat(*open_trace({r.folder.file("a.ctr")}));
  EXPECT_TRUE(written.events == flat.events);
  ASSERT_EQ(written.references.size(), flat.references.size());
  for (std::size_t i = 0; i < flat.references.size(); ++i) {
    ASSERT_EQ(written.references[i].record, flat.references[i].record);
    ASSERT_EQ(written.references[i].tid, flat.references[i].tid);
    ASSERT_NEAR(static_cast<double>(written.references[i].stamp_ns), static_cast<double>(flat.references[i].stamp_ns),
                2);
  }
}

TEST(Planes, RefusesBrokenFiles) {
  const auto error_of = [](const std::vector<std::uint64_t>& words, const std::string& events) {
    PlanesRecording r;
    r.add("t.10.0", words, events);
    return trace_error_of([&] { r.read(); });
  };
  EXPECT_NE(
      error_of({plane_word(1, 1), plane_word(7, 1)}, kFirstEvents + "2 0 2000 end\n").find("record 1, byte offset 24"),
      std::string::npos);
  EXPECT_NE(error_of({plane_word(1, 1, 0)}, kFirstEvents + "1 0 2000 end\n").find("size 0"), std::string::npos);
  EXPECT_NE(error_of({plane_word(1, 1)}, kFirstEvents).find("no end or truncated line"), std::string::npos);
  EXPECT_NE(error_of({plane_word(1, 1)}, kFirstEvents + "9 0 2000 end\n").find("beyond the 1 records"),
            std::string::npos);
  EXPECT_NE(error_of({plane_word(1, 1)}, kFirstEvents + "1 0 2000 sync\n0 0 2000 end\n").find("line 8"),
            std::string::npos);
  EXPECT_NE(error_of({plane_word(1, 1)}, kFirstEvents + "1 0 2000 dance\n").find("'dance' is unknown"),
            std::string::npos);
  EXPECT_NE(error_of({plane_word(1, 1)}, "").find("empty"), std::string::npos);
}

TEST(Planes, RefusesCutReferences) {
  PlanesRecording r;
  r.add("t.10.0", {plane_word(1, 1), plane_word(1, 2)}, kFirstEvents + "2 0 2000 end\n");
  std::string bytes = planes_of({plane_word(1, 1), plane_word(1, 2)});
  write_file(r.files[0], zstd(bytes.substr(0, bytes.size() - 1)));
  EXPECT_NE(trace_error_of([&] { r.read(); }).find("ends too early"), std::string::npos);
  write_file(r.files[0], zstd(bytes + "x"));
  EXPECT_NE(trace_error_of([&] { r.read(); }).find("goes on"), std::string::npos);
  const std::string frame = zstd(bytes);
  write_file(r.files[0], frame.substr(0, frame.size() - 5));
  EXPECT_FALSE(trace_error_of([&] { r.read(); }).empty());
  write_file(r.files[0], "");
  EXPECT_FALSE(trace_error_of([&] { r.read(); }).empty());
}

}  // namespace
}  // namespace collapsar

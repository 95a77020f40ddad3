// The text format: what a converter may write, and that nothing of a trace is lost in it.
#include "tests/unit/trace/trace_testing.h"

namespace collapsar {
namespace {

using namespace testing;
using Op = TraceEvent::Op;

FlatTrace read_text(const std::string& body, TraceInfo* info = nullptr) {
  TemporaryFolder folder;
  write_file(folder.file("a.txt"), "collapsar-trace 1\n" + body);
  return read_twice({folder.file("a.txt")}, info);
}

void copy(TraceSource& source, const std::string& file) {
  const auto sink = create_trace(file, source.info());
  while (const std::optional<TraceItem> item = source.next()) sink->put(*item);
  sink->finish();
  source.rewind();
}

TEST(TraceText, NeedsNoMoreThanReferences) {
  TraceInfo info;
  const FlatTrace flat = read_text("# kind address size\nl 0x1000 8\n\ns 8192 4\r\n", &info);
  ASSERT_EQ(flat.references.size(), 2u);
  EXPECT_EQ(flat.references[1].record, (Record{0x2000, 3, 4, RefKind::store, 0}));
  EXPECT_EQ(info.format, "text");
  EXPECT_FALSE(info.has_instructions || info.has_dependence || info.has_stamps || info.has_mappings);
  EXPECT_TRUE(info.complete);
  EXPECT_EQ(info.notes.size(), 2u);  // VMAs inferred, gaps estimated
}

TEST(TraceText, ReadsEverythingThatARecordHas) {
  TraceInfo info;
  const FlatTrace flat = read_text(
      "program a b\\\\c\nnote first\\nsecond\n"
      "by 7 1\nprocess name=a b\nvma address=0x10000 length=0x4000 prot=3 map_flags=0x22\n"
      "at 100\nf 0x10000 3 1\nl 0x10008 8 0 d\nat 300\nm 0x10010 8\nr 0x10020 64\nw 0x10030 16\n"
      "thread value=2\nby 7 2\nl 0x10000 1 5\nidle value=1000\n",
      &info);
  EXPECT_EQ(info.program, "a b\\c");
  EXPECT_EQ(info.notes, std::vector<std::string>{"first\nsecond"});
  EXPECT_TRUE(info.has_instructions && info.has_dependence && info.has_stamps && info.has_mappings);
  const std::vector<FlatTrace::Reference> expected = {
      {7, 1, {0x10000, 1, 3, RefKind::fetch, 0}, 100},         {7, 1, {0x10008, 0, 8, RefKind::load, 1}, 200},
      {7, 1, {0x10010, 0, 8, RefKind::modify, 0}, 300},        {7, 1, {0x10020, 0, 64, RefKind::kernel_read, 0}, 300},
      {7, 1, {0x10030, 0, 16, RefKind::kernel_write, 0}, 300}, {7, 2, {0x10000, 5, 1, RefKind::load, 0}, 300}};
  EXPECT_EQ(flat.references, expected);
  ASSERT_EQ(flat.events.size(), 4u);
  EXPECT_EQ(flat.events[0].name, "a b");
  EXPECT_EQ(flat.events[1].map_flags, 0x22u);
  EXPECT_EQ(flat.events[2].op, Op::thread);
  EXPECT_EQ(flat.events[3].tid, 2u);
  EXPECT_EQ(flat.events[3].index, 6u);
}

TEST(TraceText, CreatesThreadsThatNobodyCreates) {
  const FlatTrace flat =
      read_text("by 5 1\nl 0x1000 8 1\nby 5 2\nl 0x2000 8 1\nby 6 1\nl 0x3000 8 1\nby 5 1\nl 0x1000 8\n");
  std::vector<Op> ops;
  for (const TraceEvent& e : flat.events) ops.push_back(e.op);
  EXPECT_EQ(ops, (std::vector<Op>{Op::process, Op::vma, Op::process, Op::vma, Op::thread}));
  EXPECT_EQ(flat.events[4].index, 1u);
}

TEST(TraceText, StartsWithThreadOneOfProcessOneEachTime) {
  const FlatTrace flat =
      read_text("mmap address=0x10000 length=0x1000 prot=3 map_flags=0x22\nl 0x10000 8\nby 5 1\nl 0x1000 8\n");
  ASSERT_EQ(flat.events.size(), 4u);  // two processes, a VMA of the second, the call
  EXPECT_EQ(flat.events[3].pid, 1u);
}

TEST(TraceText, LosesNothing) {
  TemporaryFolder folder;
  const std::unique_ptr<TraceSource> piece =
      make_window(open_trace({COLLAPSAR_SOURCE_DIR "/traces/quickstart.ctr"}), 1'000'000, 200'000);
  copy(*piece, folder.file("a.ctr"));
  copy(*open_trace({folder.file("a.ctr")}), folder.file("a.txt"));
  copy(*open_trace({folder.file("a.txt")}), folder.file("b.ctr"));
  TraceInfo a, text, b;
  const FlatTrace flat = read_twice({folder.file("a.ctr")}, &a);
  EXPECT_TRUE(flat == read_twice({folder.file("a.txt")}, &text));
  EXPECT_TRUE(flat == read_twice({folder.file("b.ctr")}, &b));
  EXPECT_EQ(a.hash, b.hash);
  for (const TraceInfo* info : {&text, &b}) {
    EXPECT_EQ(info->notes, a.notes);
    EXPECT_EQ(info->program, a.program);
    EXPECT_EQ(info->resident, a.resident);
    EXPECT_EQ(info->has_instructions, a.has_instructions);
    EXPECT_EQ(info->has_stamps, a.has_stamps);
    EXPECT_EQ(info->has_mappings, a.has_mappings);
    EXPECT_EQ(info->complete, a.complete);
  }
}

TEST(TraceText, NamesTheLineThatIsWrong) {
  for (const char* bad : {"x 0x1000 8\n", "l 0x1000\n", "l 0x1000 0\n", "l 0x1000 65536\n", "l 1g 8\n",
                          "l 0x1000 8 1 e\n", "l 1 8 1 d d\n", "by 1\n", "by 1 1 1\n", "at\n", "at -1\n",
                          "mmap address\n", "mmap adress=1\n", "mmap prot=0x100000000\n", "flags all\n",
                          "resident 1 0x1000 4096\n", "note a\\tb\n", "what 1\n", "mmap name=\\\n"}) {
    const std::string error = trace_error_of([&] { read_text(std::string("l 0x1000 8\n") + bad); });
    EXPECT_NE(error.find("line 3, byte offset 29"), std::string::npos) << bad << error;
  }
  EXPECT_NE(trace_error_of([] { read_text("l 0x1000 8\nby 1 1\nprocess\n"); }).find("described behind its first item"),
            std::string::npos);
}

}  // namespace
}  // namespace collapsar

#include <set>

#include "tests/unit/trace/trace_testing.h"

namespace collapsar {
namespace {

using namespace testing;
using Op = TraceEvent::Op;

const std::string kText =
    "==12== Lackey, an example Valgrind tool\n"
    "==12== \n"
    "I  04001000,3\n"
    " L 1ffefff000,8\n"
    " M 1ffefff008,4\n"
    "I  04001003,5\n"
    " S 04835ff8,16\n"
    "==12== Exit code: 0\n";

FlatTrace read_lackey(const std::string& text, TraceInfo* info = nullptr) {
  TemporaryFolder folder;
  write_file(folder.file("a.lackey"), text);
  return read_twice({folder.file("a.lackey")}, info);
}

const TraceEvent* find(const FlatTrace& flat, Op op) {
  for (const TraceEvent& e : flat.events) {
    if (e.op == op) return &e;
  }
  return nullptr;
}

TEST(Lackey, ReadsReferencesWithExactInstructions) {
  TraceInfo info;
  const FlatTrace flat = read_lackey(kText, &info);
  const std::vector<Record> expected = {{0x4001000, 1, 3, RefKind::fetch, 0},
                                        {0x1ffefff000, 0, 8, RefKind::load, 0},
                                        {0x1ffefff008, 0, 4, RefKind::modify, 0},
                                        {0x4001003, 1, 5, RefKind::fetch, 0},
                                        {0x4835ff8, 0, 16, RefKind::store, 0}};
  ASSERT_EQ(flat.references.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(flat.references[i].record, expected[i]);
  EXPECT_TRUE(info.has_instructions);
  EXPECT_FALSE(info.has_mappings);
  EXPECT_EQ(info.notes.front().find("VMAs inferred"), 0u);
  ASSERT_EQ(flat.events.size(), 4u);
  EXPECT_EQ(flat.events[2].address, 0x4835000u);
  EXPECT_EQ(flat.events[2].length, 2 * kPageBytes);  // the store crosses a page
}

TEST(Lackey, ReadsTheSameFromACompressedFile) { EXPECT_TRUE(read_lackey(kText) == read_lackey(zstd(kText))); }

TEST(Lackey, ReadsSystemCallsAndWhatIsGluedToThem) {
  const FlatTrace flat = read_lackey(
      "I  04001000,3\n"
      "SYSCALL[9,1](12) sys_brk ( 0x0 ) --> [pre-success] Success(0x4035000) \n"
      "SYSCALL[9,1](12) sys_brk ( 0x4056000 ) --> [pre-success] Success(0x4056000) \n"
      "SYSCALL[9,1](9) sys_mmap ( 0x0, 8192, 3, 34, 4294967295, 0 ) --> [pre-success] Success(0x4835000) I  "
      "0494fb42,3\n"
      "SYSCALL[9,1](9) sys_mmap ( 0x0, 8192, 3, 34, 4294967295, 0 ) --> [pre-success] Failure(0xc)  L 04835000,4\n"
      "SYSCALL[9,1](28) sys_madvise ( 0x4835000, 4096, 14 ) --> [async] ... \n"
      "SYSCALL[9,2](202) sys_futex ( 0x1, 2 ) --> [async] ... \n"
      "SYSCALL[9,1](28) ... [async] --> Success(0x0) \n"
      "SYSCALL[9,1](435) unimplemented (by the kernel) syscall: 435! (ni_syscall)\n"
      " --> [pre-fail] Failure(0x26) I  04001003,5\n"
      "SYSCALL[9,1](25) sys_mremap ( 0x4835000, 8192, 16384, 0x1 ) --> [pre-success] Success(0x5000000)\n"
      "SYSCALL[9,1](11) sys_munmap ( 0x5000000, 16384 )[sync] --> Success(0x0)\n"
      "SYSCALL[77,1](11) sys_munmap ( 0x4000000, 4096 )[sync] --> Success(0x0)\n"
      "SYSCALL[9,1](231) exit_group( 0 ) --> [pre-success] Success(0x0) \n");
  ASSERT_EQ(flat.references.size(), 4u);
  EXPECT_EQ(flat.references[1].record.va, 0x494fb42u);
  EXPECT_EQ(flat.references[2].record.kind, RefKind::load);
  EXPECT_EQ(flat.references[3].record.va, 0x4001003u);
  EXPECT_EQ(find(flat, Op::mmap)->address, 0x4835000u);
  EXPECT_EQ(find(flat, Op::mmap)->map_flags, 34u);
  EXPECT_EQ(find(flat, Op::mmap)->file, 0u);
  EXPECT_EQ(find(flat, Op::madvise)->address, 0x4835000u);
  EXPECT_EQ(find(flat, Op::madvise)->advice, 14u);
  EXPECT_EQ(find(flat, Op::mremap)->new_address, 0x5000000u);
  EXPECT_EQ(find(flat, Op::mremap)->new_length, 16384u);
  EXPECT_EQ(find(flat, Op::munmap)->address, 0x5000000u);
  EXPECT_EQ(find(flat, Op::heap_room)->address, 0x4035000u);
  EXPECT_EQ(find(flat, Op::heap_room)->length, 0x21000u);
  EXPECT_NE(find(flat, Op::exit), nullptr);
  std::multiset<Op> counted;
  for (const TraceEvent& e : flat.events) counted.insert(e.op);
  EXPECT_EQ(counted.count(Op::mmap), 1u);
  EXPECT_EQ(counted.count(Op::munmap), 1u);
}

TEST(Lackey, NamesTheLineOfABadReference) {
  for (const char* bad : {"I  0400zz,3\n", " L ,8\n", " S 1000\n", " M 1000,0\n", "I  1000,3 \n",
                          " L 11112222333344445,8\n", "nonsense\n", " L 10,70000\n"}) {
    const std::string error = trace_error_of([&] { read_lackey(std::string("I  04001000,3\n") + bad); });
    EXPECT_NE(error.find("line 2, byte offset 14"), std::string::npos) << bad << error;
  }
}

TEST(Lackey, RefusesATextThatEndsWithinALine) {
  EXPECT_NE(trace_error_of([] { read_lackey("I  04001000,3\n L 100"); }).find("ends within a line"), std::string::npos);
  const std::string packed = zstd(kText);
  EXPECT_FALSE(trace_error_of([&] { read_lackey(packed.substr(0, packed.size() - 3)); }).empty());
}

TEST(Lackey, ReadsATextLongerThanItsBuffer) {
  std::string text;
  for (int i = 0; i < 200000; ++i) text += " L 1ffefff000,8\n";
  EXPECT_EQ(read_lackey(text).references.size(), 200000u);
}

}  // namespace
}  // namespace collapsar

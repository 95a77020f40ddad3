#include "sim/run/mapped_at.h"

#include <gtest/gtest.h>

namespace collapsar {
namespace {

using Op = TraceEvent::Op;

TraceEvent mapping_call(Op op, std::uint32_t pid, std::uint64_t page, std::uint64_t pages) {
  TraceEvent event;
  event.op = op, event.pid = pid, event.address = page * kPageBytes, event.length = pages * kPageBytes;
  return event;
}

// "pid: first page+pages first page+pages ...".
std::string mapped(const MappedAt& at) {
  std::string out;
  for (const TraceEvent& vma : at.list())
    out += fmt::format("{}:{}+{} ", vma.pid, vma.address / kPageBytes, vma.length / kPageBytes);
  return out;
}

TEST(MappedAt, WhatIsUnmappedOrMappedAnewIsCutOut) {
  MappedAt at;
  at.apply(mapping_call(Op::vma, 1, 10, 10));
  at.apply(mapping_call(Op::mmap, 1, 30, 2));
  EXPECT_EQ(mapped(at), "1:10+10 1:30+2 ");
  at.apply(mapping_call(Op::munmap, 1, 13, 2));
  EXPECT_EQ(mapped(at), "1:10+3 1:15+5 1:30+2 ");
  at.apply(mapping_call(Op::mmap, 1, 12, 4));
  EXPECT_EQ(mapped(at), "1:10+2 1:12+4 1:16+4 1:30+2 ");
  at.apply(mapping_call(Op::munmap, 1, 0, 100));
  EXPECT_EQ(mapped(at), "");
}

TEST(MappedAt, NothingIsMappedOrUnmappedByAnEmptyCall) {
  MappedAt at;
  at.apply(mapping_call(Op::mmap, 1, 10, 4));
  at.apply(mapping_call(Op::munmap, 1, 12, 0));
  at.apply(mapping_call(Op::mmap, 1, 12, 0));
  EXPECT_EQ(mapped(at), "1:10+4 ");
}

TEST(MappedAt, LengthsAreOfWholePages) {
  MappedAt at;
  TraceEvent file = mapping_call(Op::mmap, 1, 10, 2);
  file.length -= 1000;
  at.apply(file);
  EXPECT_EQ(mapped(at), "1:10+2 ");
}

TEST(MappedAt, AMoveTakesTheMappingsFileWithIt) {
  MappedAt at;
  TraceEvent file = mapping_call(Op::mmap, 1, 10, 4);
  file.file = 7;
  at.apply(file);
  TraceEvent move = mapping_call(Op::mremap, 1, 10, 4);
  move.new_address = 50 * kPageBytes, move.new_length = 6 * kPageBytes;
  at.apply(move);
  EXPECT_EQ(mapped(at), "1:50+6 ");
  EXPECT_EQ(at.list().front().file, 7U);
}

TEST(MappedAt, ProcessesHaveTheirOwnUntilTheyExecuteAnotherProgramOrEnd) {
  MappedAt at;
  at.apply(mapping_call(Op::vma, 1, 10, 1));
  TraceEvent fork = mapping_call(Op::fork, 1, 0, 0);
  fork.value = 2;
  at.apply(fork);
  at.apply(mapping_call(Op::mmap, 2, 20, 1));
  EXPECT_EQ(mapped(at), "1:10+1 2:10+1 2:20+1 ");
  at.apply(mapping_call(Op::exec, 2, 0, 0));
  at.apply(mapping_call(Op::vma, 2, 40, 1));
  EXPECT_EQ(mapped(at), "1:10+1 2:40+1 ");
  at.apply(mapping_call(Op::exit, 1, 0, 0));
  EXPECT_EQ(mapped(at), "2:40+1 ");
}

}  // namespace
}  // namespace collapsar

// MemoryLedger: how much memory each process and each mapping has, now or when it began to exit.
//
// A process that exits gives everything back; a report wants to know what it had. So the moment it begins to exit is noted,
// and stands for its end. (The exit of the last process is left out by the Scheduler.)
//
// Time:        none.
// Owns:        the notes. Counters are the address spaces' own; mappings are counted by visiting the page tables.
#pragma once

#include <map>
#include <vector>

#include "models/kernel/kernel.h"
#include "models/mem/physical_memory.h"
#include "sim/run/ranges.h"

namespace collapsar {

// 4 KiB pages; `huge` counts 2 MiB pages, which are part of `anon`.
struct MappingUse {
  std::uint64_t anon = 0, file = 0, huge = 0;
};

struct MemoryUse : MappingUse {
  std::uint64_t tables = 0, swapped = 0, peak = 0;
  std::uint64_t collapsible = 0;  // ranges that khugepaged could have collapsed next
  std::uint64_t rss() const { return anon + file; }
  void add(const MemoryUse& other);
  template <class V>
  void describe(V& v) {
    v.gauge("rss_bytes", rss() * kPageBytes, "bytes", "resident at the end");
    v.gauge("anon_huge_bytes", huge * kHugeBytes, "bytes", "of these, anonymous and mapped by huge PMDs");
    v.gauge("page_tables_bytes", tables * kPageBytes, "bytes", "page tables at the end");
    v.gauge("swapped_bytes", swapped * kPageBytes, "bytes", "swap entries at the end");
    v.gauge_ratio("coverage", huge * kHugePages, anon, "anonymous huge memory / anonymous resident memory");
  }
};

class MemoryLedger {
 public:
  MemoryLedger(Kernel& kernel, PhysicalMemory& memory) : kernel_(kernel), memory_(memory) {}

  // The process of `task` begins to exit.
  void note_exit(TaskId task);

  MemoryUse of(AddressSpace& mm);
  // By MappingId.
  std::vector<MappingUse> mappings_of(AddressSpace& mm);
  // All processes that have not exited, without `collapsible`; cheap.
  MemoryUse total() const;
  // Of all processes, those that have exited included.
  std::uint64_t collapsible();

 private:
  struct Note {
    MemoryUse use;
    std::vector<MappingUse> mappings;
  };
  MemoryUse count(AddressSpace& mm);
  std::vector<MappingUse> count_mappings(AddressSpace& mm);

  Kernel& kernel_;
  PhysicalMemory& memory_;
  std::map<Asid, Note> at_exit_;
};

// Passes every call on to the kernel, and tells ledger and range book of an exit before it happens; the book of an exec
// too, which ends an address space.
class ExitWatch : public Syscalls {
 public:
  ExitWatch(Syscalls& kernel, MemoryLedger& ledger, RangeBook& ranges)
      : kernel_(kernel), ledger_(ledger), ranges_(ranges) {}
  void syscall(SyscallRequest& request) override {
    using Op = SyscallRequest::Op;
    if (request.op == Op::exit) ledger_.note_exit(request.task);
    if (request.op == Op::exit || request.op == Op::exec) ranges_.note_end(request.task);
    kernel_.syscall(request);
  }
  void syscall_now(SyscallRequest& request) override { kernel_.syscall_now(request); }
  TaskId create_process(std::uint32_t pid, const std::string& name) override {
    return kernel_.create_process(pid, name);
  }
  AddressSpaceRoot root_of(TaskId task) override { return kernel_.root_of(task); }
  bool prefault(TaskId task, VirtAddr va, Access access) override { return kernel_.prefault(task, va, access); }

 private:
  Syscalls& kernel_;
  MemoryLedger& ledger_;
  RangeBook& ranges_;
};

}  // namespace collapsar

// The doors between hardware and kernel: what the CPU side may ask of the kernel, and the kernel of the CPUs.
//
// Convention: whoever asks owns the request and an Event; the other side schedules that Event (phase as the Event says)
// at the moment it is done. Until then the request stays put.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/mem/page_table.h"
#include "sim/core/event_queue.h"
#include "sim/core/units.h"

namespace collapsar {

using CpuId = std::uint32_t;
inline constexpr CpuId kNoCpu = ~0U;  // a kernel thread on a CPU of its own, outside the traced ones
using TaskId = std::uint32_t;         // one thread of the trace, numbered from 0 by the kernel
using Asid = std::uint32_t;           // one address space, never reused within a run

// What the MMU needs of an address space.
struct AddressSpaceRoot {
  PageTable* table = nullptr;
  Asid asid = 0;
};

enum class Access : std::uint8_t { read, write, execute };

// --- up: hardware asks the kernel ---

struct FaultRequest {
  TaskId task = 0;
  CpuId cpu = 0;  // that takes the fault
  VirtAddr va{};
  Access access = Access::read;
  Event* done = nullptr;
  // Answer. outside_vma: no VMA covers it (SIGSEGV on a real machine): the reference is counted and skipped.
  enum class Outcome : std::uint8_t { resolved, outside_vma, protection } outcome = Outcome::resolved;
};

class FaultHandler {
 public:
  virtual ~FaultHandler() = default;
  // Handles a fault; schedules request.done when the faulting reference may be retried. May block for locks, memory,
  // devices.
  virtual void handle_fault(FaultRequest& request) = 0;
};

struct SyscallRequest {
  enum class Op : std::uint8_t {
    mmap,
    munmap,
    mprotect,
    mremap,
    madvise,
    mlock,
    munlock,
    brk,
    thp_disable,
    clear_refs,
    userfaultfd,  // `value`: a UffdMode of memory_calls.h
    fork,
    exec,
    exit,
    thread,
    thread_exit,
    add_vma,
    stack_room,
    heap_room,  // building the image a trace starts with, or after exec; free of cost
  } op = Op::mmap;
  TaskId task = 0;
  CpuId cpu = 0;
  // as sim/trace/trace.h TraceEvent
  std::uint64_t address = 0, length = 0, new_address = 0, new_length = 0, offset = 0, value = 0;
  std::uint32_t prot = 0, map_flags = 0, advice = 0;
  std::uint64_t file = 0;
  std::string name;
  Event* done = nullptr;
  // Answer.
  int error = 0;        // 0 or an errno
  TaskId new_task = 0;  // fork, thread: the new task
};

class Syscalls {
 public:
  virtual ~Syscalls() = default;
  // Does what the program asked; schedules request.done when the call returns. May block.
  virtual void syscall(SyscallRequest& request) = 0;
  // The same at once, free of time, for what happened before time 0 and for prefault. Requires: nothing runs yet.
  virtual void syscall_now(SyscallRequest& request) = 0;
  // The first task of a process that exists when the run starts.
  virtual TaskId create_process(std::uint32_t pid, const std::string& name) = 0;
  // The address space a task runs in now.
  virtual AddressSpaceRoot root_of(TaskId task) = 0;
  // Puts one page in place, free of cost, by the rules of the fault path (THP at fault, registration with khugepaged
  // included).
  // False: no VMA there.
  virtual bool prefault(TaskId task, VirtAddr va, Access access) = 0;
};

// --- down: the kernel asks the CPUs ---

class TlbShootdown {
 public:
  virtual ~TlbShootdown() = default;
  // How long the caller waits for a flush of this range on all CPUs that use the address space (33-page ceiling, IPIs),
  // from `initiator`.
  virtual Duration flush_duration(Asid asid, VirtRange range, PageSize stride, CpuId initiator) = 0;
  // The flush takes effect now: entries of the range are dropped on every CPU that may hold them, walks under way
  // restart, receivers lose the time of their interrupt. With `tables_freed` the paging-structure caches go too (on x86
  // they go with any flush).
  virtual void flush(Asid asid, VirtRange range, PageSize stride, CpuId initiator, bool tables_freed) = 0;
  // An empty interrupt of every other CPU, waited for (tlb_remove_table_sync_one). Returns how long that takes; receivers
  // lose theirs now.
  virtual Duration interrupt_all(CpuId initiator) = 0;
  // The address space is gone: drop all its entries, no cost (its CPUs have switched away).
  virtual void forget(Asid asid) = 0;
};

class CpuPort {
 public:
  virtual ~CpuPort() = default;
  // A kernel thread wants `cpu` for `work`; `done` comes when it has had that much of it. On kNoCpu: `work` from now.
  virtual void run_kernel(CpuId cpu, Duration work, Event& done) = 0;
  // The thread that runs on `cpu` goes to sleep in the kernel (lock, device) or is awake again: another may run
  // meanwhile.
  virtual void task_sleeps(TaskId task) = 0;
  virtual void task_wakes(TaskId task) = 0;
};

}  // namespace collapsar

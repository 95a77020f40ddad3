// The commands of a scenario, one by one: what the recorder's worker processes do.
#include <cerrno>

#include "models/kernel/memory_calls_bits.h"
#include "models/kernel/sysfs.h"
#include "sim/run/scenario.h"

namespace collapsar {

using Op = SyscallRequest::Op;

namespace {

// Memory of `lock` and `hog`, not shown in snapshots.
constexpr VirtRange kLockArea{{4ULL << 40}, {(4ULL << 40) + 66 * kMiB}};

CallResult failed(int error) { return {-1, error}; }

std::string sysfs_file(const std::string& knob) {
  if (knob == "thp_defrag") return "defrag";
  if (knob == "enabled" || knob == "use_zero_page" || knob == "shmem_enabled") return knob;
  return "khugepaged/" + knob;
}

}  // namespace

CallResult ScenarioPlayer::act(const Command& c) {
  switch (c.op) {
    case Command::Op::alloc_sleep:
      machine_.kernel().set_observer(nullptr);
      park(std::to_string(c.sleep / std::chrono::milliseconds(1)));
      machine_.kernel().set_observer(&record_);
      return {};
    case Command::Op::knob: return knob(c);
    case Command::Op::proc: return start(c);
    case Command::Op::fork: return fork(c);
    case Command::Op::exit: {
      const CallResult result = exit(process(c.process));
      give_back_huge();
      return result;
    }
    case Command::Op::mmap: return mmap(c);
    case Command::Op::file: return file(c);
    case Command::Op::mremap: return mremap(c);
    case Command::Op::madvise: return madvise(c);
    case Command::Op::brk: return brk(c);
    case Command::Op::stack: return stack(c);
    case Command::Op::thp: return thp(c);
    case Command::Op::munmap: return ranged(Op::munmap, c);
    case Command::Op::mlock: return ranged(Op::mlock, c);
    case Command::Op::munlock: return ranged(Op::munlock, c);
    case Command::Op::mprotect: return ranged(Op::mprotect, c);
    case Command::Op::clear_refs: return ranged(Op::clear_refs, c);
    case Command::Op::touch: return touch(c);
    case Command::Op::pin: return pin(c);
    case Command::Op::unpin: process(c.process).pins.reset(); return {};
    case Command::Op::lock: return lock(process(c.process));
    case Command::Op::unlock: return unlock(process(c.process));
    case Command::Op::uffd: return uffd(c);
    case Command::Op::memcg: return memcg(c);
    case Command::Op::hog: return hog(c);
    case Command::Op::wake:
    case Command::Op::until_full:
    case Command::Op::run:
    case Command::Op::snap: break;
  }
  throw SimulationError(fmt::format("{} is no call", c.text));
}

CallResult ScenarioPlayer::knob(const Command& c) {
  const int error = write_sysfs(machine_.kernel(), sysfs_file(c.word), c.value);
  return error ? failed(error) : CallResult{};
}

// --- processes ---

CallResult ScenarioPlayer::start(const Command& c) {
  auto& p = processes_.emplace_back(std::make_unique<Process>());
  p->name = c.process;
  p->task = machine_.new_process();
  record_.name(mm(*p), p->name);
  return {};
}

CallResult ScenarioPlayer::fork(const Command& c) {
  Process& parent = process(c.process);
  SyscallRequest r = ScenarioMachine::request(Op::fork, parent.task);
  record_.expect_child(c.other);
  const CallResult result = machine_.call(r);
  auto child = std::make_unique<Process>();
  child->name = c.other;
  child->task = r.new_task;
  child->pins = parent.pins;
  child->uffd_owner = parent.uffd_owner;
  record_.name(mm(*child), child->name);
  processes_.push_back(std::move(child));
  return result;
}

CallResult ScenarioPlayer::exit(Process& p) {
  if (p.is_locked) unlock(p);
  SyscallRequest r = ScenarioMachine::request(Op::exit, p.task);
  machine_.call(r);
  p.is_alive = false;
  p.pins.reset();
  machine_.settle();
  return {};
}

// --- mappings ---

CallResult ScenarioPlayer::mmap(const Command& c) {
  SyscallRequest r = ScenarioMachine::request(Op::mmap, process(c.process).task, c.address, c.length);
  r.prot = c.prot;
  r.map_flags =
      kMapAnonymous | kMapFixed | (c.is_shared ? kMapShared : kMapPrivate) | (c.is_noreserve ? kMapNoReserve : 0);
  return machine_.call(r);
}

// A regular file of its own, of the length of the mapping.
CallResult ScenarioPlayer::file(const Command& c) {
  SyscallRequest r = ScenarioMachine::request(Op::mmap, process(c.process).task, c.address, c.length);
  r.prot = c.prot;
  r.map_flags = kMapFixed | kMapPrivate;
  r.file = next_file_++;
  return machine_.call(r);
}

CallResult ScenarioPlayer::mremap(const Command& c) {
  SyscallRequest r = ScenarioMachine::request(Op::mremap, process(c.process).task, c.address, c.length);
  r.new_address = c.target.value;
  r.new_length = c.new_length;
  return machine_.call(r);
}

CallResult ScenarioPlayer::madvise(const Command& c) {
  SyscallRequest r = ScenarioMachine::request(Op::madvise, process(c.process).task, c.address, c.length);
  r.advice = std::uint32_t(c.advice);
  return machine_.call(r);
}

CallResult ScenarioPlayer::ranged(Op op, const Command& c) {
  SyscallRequest r = ScenarioMachine::request(op, process(c.process).task, c.address, c.length);
  r.prot = c.prot;
  return machine_.call(r);
}

CallResult ScenarioPlayer::thp(const Command& c) {
  SyscallRequest r = ScenarioMachine::request(Op::thp_disable, process(c.process).task);
  r.value = !c.is_on;
  return machine_.call(r);
}

CallResult ScenarioPlayer::brk(const Command& c) {
  return machine_.call(*std::make_unique<SyscallRequest>(
      ScenarioMachine::request(Op::brk, process(c.process).task, kScenarioHeap + c.length)));
}

// The descriptor is made at first use and inherited: a child's calls then go to the address space it was made for.
CallResult ScenarioPlayer::uffd(const Command& c) {
  Process& p = process(c.process);
  if (!p.uffd_owner) p.uffd_owner = &p;
  if (!p.uffd_owner->is_alive) return failed(c.word == "protect" ? ESRCH : ENOMEM);
  SyscallRequest r = ScenarioMachine::request(Op::userfaultfd, p.uffd_owner->task, c.address, c.length);
  const UffdMode mode = c.word == "off"       ? UffdMode::off
                        : c.word == "protect" ? UffdMode::protect
                        : c.word == "wp"      ? UffdMode::wp
                                              : UffdMode::missing;
  r.value = std::uint64_t(mode);
  return machine_.call(r);
}

CallResult ScenarioPlayer::memcg(const Command& c) {
  machine_.kernel().memcgs().set_limit(mm(process(c.process)), c.length);
  return {};
}

// --- references ---

CallResult ScenarioPlayer::touch(const Command& c) {
  const TaskId task = process(c.process).task;
  const Access access = c.is_write ? Access::write : Access::read;
  for (std::uint64_t i = 0; i < c.count; ++i)
    if (!machine_.touch(task, c.address + i * c.stride * kPageBytes, access)) return failed(EFAULT);
  return {std::int64_t(c.count), 0};
}

// Downwards from the page that the stack pointer is in, which is there already.
CallResult ScenarioPlayer::stack(const Command& c) {
  constexpr VirtAddr kStackPointer{0x7fffffffb000};
  const TaskId task = process(c.process).task;
  for (std::uint64_t at = kPageBytes; at <= c.length; at += kPageBytes)
    if (!machine_.touch(task, kStackPointer - at, Access::write))
      throw SimulationError(fmt::format("{}: the stack does not reach so far down", c.text));
  return {};
}

// --- pins: references that a pipe holds ---

struct ScenarioPlayer::PinPipe {
  explicit PinPipe(Kernel& owner) : kernel(owner) {}
  ~PinPipe() {
    for (const Pfn head : pages) {
      --kernel.context().memory.frame(head).pins;
      kernel.rmap().free_if_unused(head);
    }
  }
  static constexpr std::size_t kSlots = 256;  // F_SETPIPE_SZ 1 MiB: one page a slot
  Kernel& kernel;
  std::vector<Pfn> pages;
  std::size_t used = 0;
};

// vmsplice with SPLICE_F_NONBLOCK: as many pages as the pipe has room for. Each is read in if it is not there.
CallResult ScenarioPlayer::pin(const Command& c) {
  Process& p = process(c.process);
  if (!p.pins) p.pins = std::make_shared<PinPipe>(machine_.kernel());
  PhysicalMemory& memory = machine_.kernel().context().memory;
  std::int64_t bytes = 0;
  const VirtRange range{c.address, c.address + c.length};
  for (VirtAddr va = range.start; va < range.end; va = align_down(va, kPageBytes) + kPageBytes) {
    if (p.pins->used == PinPipe::kSlots) return bytes ? CallResult{bytes, 0} : failed(EAGAIN);
    if (!machine_.touch(p.task, va, Access::read)) return bytes ? CallResult{bytes, 0} : failed(EFAULT);
    const PageTable::Leaf leaf = mm(p).table().lookup(va);
    ++p.pins->used;
    bytes += std::int64_t(std::min(range.end, align_down(va, kPageBytes) + kPageBytes) - va);
    if (leaf.entry->zero_page()) continue;
    const Pfn head = memory.head_of(leaf.entry->pfn());
    ++memory.frame(head).pins;
    memory.frame(head).set(Frame::kReferenced);  // get_user_pages marks what it takes
    p.pins->pages.push_back(head);
  }
  return {bytes, 0};
}

// --- lock: 64 MiB whose protection a second thread changes all the time ---

CallResult ScenarioPlayer::lock(Process& p) {
  SyscallRequest map = ScenarioMachine::request(Op::mmap, p.task, kLockArea.start, kLockArea.bytes());
  map.prot = Vma::kRead | Vma::kWrite;
  map.map_flags = kMapAnonymous | kMapFixed | kMapPrivate;
  machine_.call(map);
  SyscallRequest advice = ScenarioMachine::request(Op::madvise, p.task, kLockArea.start, kLockArea.bytes());
  advice.advice = std::uint32_t(Advice::nohugepage);
  machine_.call(advice);
  for (VirtAddr va = kLockArea.start; va < kLockArea.end; va += kPageBytes) machine_.touch(p.task, va, Access::write);
  p.is_locked = true;
  return {};
}

CallResult ScenarioPlayer::unlock(Process& p) {
  if (!p.is_locked) return {};
  p.is_locked = false;
  SyscallRequest r = ScenarioMachine::request(Op::munmap, p.task, kLockArea.start, kLockArea.bytes());
  return machine_.call(r);
}

}  // namespace collapsar

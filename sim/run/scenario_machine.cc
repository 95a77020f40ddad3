#include "sim/run/scenario_machine.h"

#include <array>
#include <cerrno>

#include "models/kernel/memory_calls_bits.h"

namespace collapsar {
namespace {

constexpr std::uint64_t kMemory = 2 * kGiB, kSwap = 256 * kMiB;

// No pass of the daemon and no call of a scenario takes longer: a free run is a few seconds, an allocation sleep a minute.
constexpr Duration kStuck = std::chrono::hours(1);

KernelConfig kernel_config(const std::string& version) {
  KernelConfig config;
  config.version = version;
  config.thp.enabled = ThpEnabled::always;
  config.compaction.proactiveness =
      0;  // recorded cases are over before kcompactd has looked, but for chance (oracle/README.md)
  return config;
}

SwapConfig swap_config() {
  SwapConfig config;
  config.device = SwapKind::ideal;  // a RAM disk: reads and writes are over when the call returns
  config.size = Bytes{kSwap};
  config.page_cluster = 0;
  return config;
}

struct DriverVma {
  std::uint64_t start, end;
  std::uint32_t prot;     // PROT_*
  std::uint64_t file;     // 0: anonymous
  std::uint32_t touched;  // pages written, from the start (the stack: from the end)
  const char* name;
};

// As in every recorded snapshot, both kernels. [vvar] and [vdso] are special mappings: neither anonymous nor eligible.
constexpr std::uint64_t kInit = 1, kVvar = 2, kVdso = 3;
constexpr std::array<DriverVma, 10> kDriverVmas{{
    {0x400000, 0x401000, 1, kInit, 0, "init"},
    {0x401000, 0x49a000, 5, kInit, 0, "init"},
    {0x49a000, 0x4c5000, 1, kInit, 0, "init"},
    {0x4c5000, 0x4c9000, 1, kInit, 0, "init"},
    {0x4c9000, 0x4cc000, 3, kInit, 3, "init"},
    {0x4cc000, 0x4da000, 3, 0, 14, "bss"},
    {0x4da000, 0x4fc000, 3, 0, 16, "heap"},
    {0x7ffff7ff9000, 0x7ffff7ffd000, 1, kVvar, 0, "vvar"},
    {0x7ffff7ffd000, 0x7ffff7fff000, 5, kVdso, 0, "vdso"},
    {0x7ffffffde000, 0x7ffffffff000, 3, 0, 4, "stack"},
}};
constexpr VirtRange kStackRoom{{0x7ffffffff000 - 8 * kMiB}, {0x7ffffffff000}};  // RLIMIT_STACK: 8 MiB
constexpr VirtRange kHeapRoom{{0x4da000}, {1ULL << 40}};

}  // namespace

struct ScenarioMachine::NoTlbs : TlbShootdown {
  Duration flush_duration(Asid, VirtRange, PageSize, CpuId) override { return {}; }
  void flush(Asid, VirtRange, PageSize, CpuId, bool) override {}
  Duration interrupt_all(CpuId) override { return {}; }
  void forget(Asid) override {}
};

struct ScenarioMachine::NoCpus : CpuPort {
  explicit NoCpus(EventQueue& events) : queue(events) {}
  void run_kernel(CpuId, Duration work, Event& done) override { queue.schedule(done, queue.now() + work); }
  void task_sleeps(TaskId) override {}
  void task_wakes(TaskId) override {}
  EventQueue& queue;
};

namespace {

struct Signal {
  void arrive() { arrived = true; }
  bool arrived = false;
  Event event = collapsar::event<&Signal::arrive>(this, "scenario.done", Phase::cpu);
};

}  // namespace

ScenarioMachine::ScenarioMachine(const std::string& kernel_version)
    : memory_(MemoryConfig{Bytes{kMemory}}),
      dram_(queue_, DramConfig{.ideal = Duration::zero()}),
      swap_(queue_, swap_config(), 1),
      tlbs_(std::make_unique<NoTlbs>()),
      cpus_(std::make_unique<NoCpus>(queue_)),
      kernel_(
          std::make_unique<Kernel>(queue_, memory_, dram_, swap_, *tlbs_, *cpus_, kernel_config(kernel_version), 4)) {
  kernel_->follow_contents();
  driver_ = make_driver();
  kernel_->start();
}

ScenarioMachine::~ScenarioMachine() { queue_.clear(); }

SyscallRequest ScenarioMachine::request(SyscallRequest::Op op, TaskId task, VirtAddr address, std::uint64_t length) {
  SyscallRequest r;
  r.op = op;
  r.task = task;
  r.address = address.value;
  r.length = length;
  return r;
}

// --- processes ---

TaskId ScenarioMachine::make_driver() {
  const TaskId task = kernel_->syscalls().create_process(1, "init");
  for (const DriverVma& vma : kDriverVmas) {
    SyscallRequest r = request(SyscallRequest::Op::add_vma, task, {vma.start}, vma.end - vma.start);
    r.prot = vma.prot;
    r.map_flags = vma.file ? 0 : kMapAnonymous;
    r.file = vma.file;
    r.name = fmt::format("[{}]", vma.name);
    kernel_->syscalls().syscall_now(r);
  }
  SyscallRequest heap = request(SyscallRequest::Op::heap_room, task, kHeapRoom.start, kHeapRoom.bytes());
  kernel_->syscalls().syscall_now(heap);
  SyscallRequest stack = request(SyscallRequest::Op::stack_room, task, kStackRoom.start, kStackRoom.bytes());
  kernel_->syscalls().syscall_now(stack);
  SyscallRequest no_thp = request(SyscallRequest::Op::thp_disable, task);
  no_thp.value = 1;
  kernel_->syscalls().syscall_now(no_thp);
  for (const DriverVma& vma : kDriverVmas) {
    const bool is_stack = std::string_view(vma.name) == "stack";
    const std::uint64_t first = is_stack ? vma.end - vma.touched * kPageBytes : vma.start;
    for (std::uint32_t i = 0; i < vma.touched; ++i)
      kernel_->syscalls().prefault(task, {first + i * kPageBytes}, Access::write);
  }
  return task;
}

// The worker leaves the driver's THP_DISABLE behind and writes to its stack.
TaskId ScenarioMachine::new_process() {
  SyscallRequest fork = request(SyscallRequest::Op::fork, driver_);
  fork.value = next_pid_++;
  call(fork);
  SyscallRequest thp = request(SyscallRequest::Op::thp_disable, fork.new_task);
  call(thp);
  const DriverVma& stack = kDriverVmas.back();
  for (std::uint32_t i = 1; i <= stack.touched; ++i) touch(fork.new_task, {stack.end - i * kPageBytes}, Access::write);
  return fork.new_task;
}

// --- running ---

template <class Done>
void ScenarioMachine::run_until(const Done& done) {
  const Time start = queue_.now();
  while (!done()) {
    if (!queue_.run_one() || queue_.now() - start > kStuck)
      throw SimulationError("the scenario waits for something that never happens");
  }
}

void ScenarioMachine::settle() {
  run_until([&] { return kernel_->khugepaged().asleep() && kernel_->at_rest(); });
}

CallResult ScenarioMachine::call(SyscallRequest& request) {
  Signal done;
  request.done = &done.event;
  kernel_->syscalls().syscall(request);
  run_until([&] { return done.arrived; });
  return {request.error ? -1 : 0, request.error};
}

bool ScenarioMachine::touch(TaskId task, VirtAddr va, Access access) {
  while (!walk(task, va, access)) {
    Signal done;
    FaultRequest fault;
    fault.task = task;
    fault.va = va;
    fault.access = access;
    fault.done = &done.event;
    kernel_->faults().handle_fault(fault);
    run_until([&] { return done.arrived; });
    if (fault.outcome != FaultRequest::Outcome::resolved) return false;
  }
  return true;
}

// try_to_unuse: each page comes back as it left, not as one that was used.
void ScenarioMachine::swap_off() {
  for (const auto& process : kernel_->processes().all()) {
    if (!process->alive) continue;
    std::vector<VirtAddr> swapped;
    process->mm->table().visit(process->mm->user_range(), [&](VirtAddr va, Pte& pte, PageSize) {
      if (pte.swap()) swapped.push_back(va);
    });
    for (const VirtAddr va : swapped)
      if (touch(process->tasks.front(), va, Access::read)) process->mm->table().lookup(va).entry->clear(Pte::kAccessed);
  }
  swap_.set_active(false);
}

bool ScenarioMachine::walk(TaskId task, VirtAddr va, Access access) {
  const PageTable::Leaf leaf = mm(task).table().lookup(va);
  if (!leaf.entry || !leaf.entry->hw_present() || (access == Access::write && !leaf.entry->writable())) return false;
  leaf.entry->set(access == Access::write ? Pte::kAccessed | Pte::kDirty : Pte::kAccessed);
  const Pfn page = leaf.entry->pfn() + ((va.value % page_bytes(leaf.size)) >> kPageShift);
  if (access == Access::write) memory_.frame(page).set(Frame::kData);
  return true;
}

}  // namespace collapsar

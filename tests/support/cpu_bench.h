// CpuBench: CPUs, MMUs and the scheduler of a machine on a kernel made of cardboard, for the tests of these parts.
//
// Models:      PaperKernel knows processes, mappings and threads, maps what faults, and takes the time it is told to; a
//              trace is written item by item. Memory answers in a fixed time unless the test says otherwise.
// Time:        run() plays the trace to its end.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/cpu/scheduler.h"
#include "models/mem/cache.h"
#include "models/mmu/mmu.h"
#include "models/mmu/shootdown.h"
#include "tests/support/basics.h"

namespace collapsar::test {

// Frames are handed out in order of faults; they are numbers, not memory.
class PaperKernel : public FaultHandler, public Syscalls {
 public:
  static constexpr std::uint64_t kClean = Pte::kPresent | Pte::kUser | Pte::kWritable;
  static constexpr std::uint64_t kReady = kClean | Pte::kDirty | Pte::kAccessed;
  struct Mapping {
    VirtRange range;
    PageSize size = PageSize::k4K;  // of the pages that faults map
    std::uint32_t prot = 7;
  };
  struct Process {
    std::uint32_t pid = 0;
    std::unique_ptr<PageTable> table;
    Asid asid = 0;
    std::vector<Mapping> mappings;
    bool has_exited = false;
  };
  struct Call {  // of the log
    SyscallRequest::Op op;
    TaskId task;
    Time start, end;
  };

  PaperKernel(EventQueue& queue, PhysicalMemory& memory, unsigned levels)
      : queue_(queue), memory_(memory), levels_(levels) {}
  ~PaperKernel() override {
    for (auto& job : jobs_) queue_.cancel(job->over);
  }
  void connect(CpuPort& cpus, TlbShootdown& shootdown) { cpus_ = &cpus, shootdown_ = &shootdown; }

  // --- what the test sets, and looks at ---
  Duration fault_cost{}, call_cost{};
  bool faults_sleep = false, calls_sleep = false;
  std::vector<Call> calls;
  struct Fault {
    VirtAddr va;
    Access access;
    Time start;
  };
  std::vector<Fault> faults;

  Process& process_of(TaskId task) { return *processes_[task_process_[task]]; }
  Process& process(std::uint32_t pid) {
    for (auto p = processes_.rbegin(); p != processes_.rend(); ++p)
      if ((*p)->pid == pid) return **p;
    ADD_FAILURE() << "no process " << pid;
    return *processes_.front();
  }
  // Puts one page in place. Its frame is a fresh number.
  Pte& map(Process& p, VirtAddr va, PageSize size = PageSize::k4K, std::uint64_t flags = kReady) {
    const VirtAddr base = align_down(va, page_bytes(size));
    next_frame_ = align_up(next_frame_, pages_4k(size));
    const Pte leaf = Pte::make(Pfn{next_frame_}, size == PageSize::k4K ? flags : flags | Pte::kHuge);
    next_frame_ += pages_4k(size);
    if (size == PageSize::k4K) {
      EXPECT_TRUE(p.table->ensure_pte_table(base));
      *p.table->pte(base) = leaf;
    } else {
      EXPECT_TRUE(size == PageSize::k2M ? p.table->ensure_pmd_table(base) : p.table->ensure_pud_table(base));
      p.table->map_huge(base, leaf, size);
    }
    return *p.table->lookup(base).entry;
  }
  void map_range(Process& p, VirtAddr start, std::uint64_t bytes, PageSize size = PageSize::k4K,
                 std::uint64_t flags = kReady) {
    for (std::uint64_t at = 0; at < bytes; at += page_bytes(size)) map(p, start + at, size, flags);
  }

  // --- FaultHandler ---
  void handle_fault(FaultRequest& request) override {
    faults.push_back({request.va, request.access, queue_.now()});
    Job& job = new_job(&request, nullptr);
    if (faults_sleep) cpus_->task_sleeps(request.task);
    queue_.schedule_after(job.over, fault_cost);
  }

  // --- Syscalls ---
  void syscall(SyscallRequest& request) override {
    Job& job = new_job(nullptr, &request);
    if (calls_sleep) cpus_->task_sleeps(request.task);
    queue_.schedule_after(job.over, call_cost);
  }
  void syscall_now(SyscallRequest& request) override { apply(request); }
  TaskId create_process(std::uint32_t pid, const std::string&) override { return new_task(new_process(pid)); }
  AddressSpaceRoot root_of(TaskId task) override {
    Process& p = process_of(task);
    return {p.table.get(), p.asid};
  }
  bool prefault(TaskId task, VirtAddr va, Access access) override {
    Process& p = process_of(task);
    return resolve(p, va, access) == FaultRequest::Outcome::resolved;
  }

 private:
  struct Job {
    Job(PaperKernel* o, FaultRequest* f, SyscallRequest* c)
        : owner(o), fault(f), call(c), over(collapsar::event<&Job::done>(this, "paper_kernel.done", Phase::kernel)) {}
    void done() { owner->finish(*this); }
    PaperKernel* owner;
    FaultRequest* fault;
    SyscallRequest* call;
    Time start{};
    Event over;
  };
  Job& new_job(FaultRequest* fault, SyscallRequest* call) {
    std::erase_if(jobs_, [](const auto& job) { return !job->fault && !job->call; });
    Job& job = *jobs_.emplace_back(std::make_unique<Job>(this, fault, call));
    job.start = queue_.now();
    return job;
  }
  void finish(Job& job) {
    Event* done = nullptr;
    if (FaultRequest* fault = std::exchange(job.fault, nullptr)) {
      fault->outcome = resolve(process_of(fault->task), fault->va, fault->access);
      done = fault->done;
    } else {
      SyscallRequest* call = std::exchange(job.call, nullptr);
      apply(*call);
      calls.push_back({call->op, call->task, job.start, queue_.now()});
      done = call->done;
    }
    queue_.schedule(*done, queue_.now());
  }
  FaultRequest::Outcome resolve(Process& p, VirtAddr va, Access access) {
    for (const Mapping& m : p.mappings) {
      if (!m.range.contains(va)) continue;
      const std::uint32_t needed = access == Access::write ? 2 : access == Access::execute ? 4 : 1;
      if (!(m.prot & needed)) return FaultRequest::Outcome::protection;
      const Pte* entry = p.table->lookup(va).entry;
      if (!entry || !entry->hw_present()) map(p, va, m.size, m.prot & 2 ? kClean : kClean & ~Pte::kWritable);
      return FaultRequest::Outcome::resolved;
    }
    return FaultRequest::Outcome::outside_vma;
  }
  void apply(SyscallRequest& r) {
    using Op = SyscallRequest::Op;
    Process& p = process_of(r.task);
    const VirtRange range{{r.address}, {r.address + r.length}};
    if (r.op == Op::mmap || r.op == Op::add_vma)
      p.mappings.push_back({range, r.map_flags & 0x40000 ? PageSize::k2M : PageSize::k4K, r.prot});
    if (r.op == Op::munmap) {
      std::erase_if(p.mappings, [&](const Mapping& m) { return range.overlaps(m.range); });
      p.table->visit(range, [](VirtAddr, Pte& entry, PageSize) { entry = Pte{}; });
      shootdown_->flush(p.asid, range, PageSize::k4K, r.cpu, false);
    }
    if (r.op == Op::madvise) {
      p.table->visit(range, [](VirtAddr, Pte& entry, PageSize) { entry = Pte{}; });
      shootdown_->flush(p.asid, range, PageSize::k4K, r.cpu, false);
    }
    if (r.op == Op::thread) r.new_task = new_task(p);
    if (r.op == Op::fork) {
      Process& child = new_process(std::uint32_t(r.value));
      child.mappings = p.mappings;
      r.new_task = new_task(child);
    }
    if (r.op == Op::exec) renew(p), p.mappings.clear();
    if (r.op == Op::exit) p.has_exited = true, shootdown_->forget(p.asid);
  }
  Process& new_process(std::uint32_t pid) {
    Process& p = *processes_.emplace_back(std::make_unique<Process>());
    p.pid = pid;
    renew(p);
    return p;
  }
  void renew(Process& p) {
    if (p.table) old_tables_.push_back(std::move(p.table));
    p.table = std::make_unique<PageTable>(memory_, levels_), p.asid = ++last_asid_;
  }
  TaskId new_task(Process& p) {
    for (std::size_t i = 0; i < processes_.size(); ++i)
      if (processes_[i].get() == &p) task_process_.push_back(i);
    return TaskId(task_process_.size() - 1);
  }

  EventQueue& queue_;
  PhysicalMemory& memory_;
  unsigned levels_;
  CpuPort* cpus_ = nullptr;
  TlbShootdown* shootdown_ = nullptr;
  std::vector<std::unique_ptr<Process>> processes_;
  std::vector<std::unique_ptr<PageTable>> old_tables_;
  std::vector<std::size_t> task_process_;
  std::vector<std::unique_ptr<Job>> jobs_;
  Asid last_asid_ = 0;
  std::uint64_t next_frame_ = 1ULL << 18;  // beyond the frames of page tables
};

// A trace written by a test.
class PaperTrace : public TraceSource {
 public:
  using Op = TraceEvent::Op;
  PaperTrace() { info_.resident.emplace(); }
  const TraceInfo& info() const override { return info_; }
  std::optional<TraceItem> next() override {
    if (at_ == items_.size()) return std::nullopt;
    return items_[at_++];
  }
  void rewind() override { at_ = 0; }

  TraceEvent& event(Op op, std::uint32_t pid = 1, std::uint32_t tid = 1) {
    TraceEvent e;
    e.op = op, e.pid = pid, e.tid = tid;
    items_.emplace_back(e);
    return std::get<TraceEvent>(items_.back());
  }
  // A process with one mapping, there from the start or (after references) from now on.
  void process(std::uint32_t pid, VirtAddr start = kBase, std::uint64_t bytes = kGiB) {
    event(Op::process, pid);
    map(pid, start, bytes);
  }
  TraceEvent& map(std::uint32_t pid, VirtAddr start, std::uint64_t bytes, std::uint32_t tid = 1) {
    TraceEvent& e = event(Op::mmap, pid, tid);
    e.address = start.value, e.length = bytes, e.prot = 7, e.map_flags = 0x22;
    return e;
  }
  void fork(std::uint32_t pid, std::uint32_t child) { event(Op::fork, pid).value = child; }
  void thread(std::uint32_t pid, std::uint32_t tid) { event(Op::thread, pid).value = tid; }
  TraceRun& run(std::uint32_t pid, std::uint32_t tid, std::vector<Record> records) {
    auto storage = std::make_shared<const std::vector<Record>>(std::move(records));
    TraceRun r;
    r.pid = pid, r.tid = tid, r.records = *storage, r.storage = storage;
    items_.emplace_back(r);
    return std::get<TraceRun>(items_.back());
  }
  TraceInfo& edit_info() { return info_; }
  std::vector<TraceItem>& items() { return items_; }

 private:
  TraceInfo info_;
  std::vector<TraceItem> items_;
  std::size_t at_ = 0;
};

inline Record load(VirtAddr va, std::uint32_t instructions = 1) {
  return {va.value, instructions, 8, RefKind::load, 0};
}
inline Record store(VirtAddr va, std::uint32_t instructions = 1) {
  return {va.value, instructions, 8, RefKind::store, 0};
}
inline Record fetch(VirtAddr va, std::uint32_t instructions = 1) {
  return {va.value, instructions, 4, RefKind::fetch, 0};
}
inline Record after_load(Record r) { return r.flags = Record::kDependsOnLoad, r; }
inline VirtAddr page(std::uint64_t number, std::uint64_t offset = 0) { return kBase + number * kPageBytes + offset; }

inline DramConfig ideal_dram(Duration latency) {
  DramConfig config;
  config.ideal = latency;
  return config;
}

// A cycle is 1 ns, so that expected times are sums of round numbers.
struct CpuBenchConfig {
  CpuConfig cpu;
  TimeConfig time;
  MmuConfig mmu;
  std::optional<CachesConfig> caches;
  DramConfig dram = ideal_dram(std::chrono::nanoseconds(100));
  ReplayConfig replay;
  Duration context_switch{};
  ShootdownCosts shootdown;
  bool one_event_per_step = false;
  bool check = false;
  CpuBenchConfig() {
    cpu.frequency = Frequency{1e9};
    cpu.cycles_per_instruction = 1;
    replay.prefault = Prefault::none;
  }
};

class CpuBench {
 public:
  static constexpr Duration kCycle = std::chrono::nanoseconds(1);

  explicit CpuBench(const CpuBenchConfig& c, PaperTrace items = {}) : CpuBench(c, std::move(items), nullptr) {}
  CpuBench(const CpuBenchConfig& c, TraceSource& source) : CpuBench(c, {}, &source) {}

 private:
  CpuBench(const CpuBenchConfig& c, PaperTrace items, TraceSource* source)
      : config(c),
        trace(std::move(items)),
        clock(config.cpu.frequency),
        queue(config.one_event_per_step),
        memory(MemoryConfig{Bytes{512 * kMiB}}),
        dram(queue, config.dram),
        kernel(queue, memory, config.mmu.levels),
        shootdown(config.shootdown),
        scheduler(queue, config.cpu, config.replay, source ? *source : trace, config.context_switch) {
    config.mmu.validate();
    if (config.caches) caches.emplace(queue, dram, *config.caches, config.cpu.count, clock);
    CacheHierarchy* const shared = caches ? &*caches : nullptr;
    std::vector<Cpu*> all;
    for (CpuId id = 0; id < config.cpu.count; ++id) {
      mmus.push_back(std::make_unique<Mmu>(queue, config.mmu, id, shared, dram, clock, 1));
      cpus.push_back(std::make_unique<Cpu>(queue, config.cpu, config.time, id, *mmus[id], shared, clock, scheduler));
      shootdown.add_cpu(*mmus[id], *cpus[id]);
      all.push_back(cpus[id].get());
    }
    shootdown.set_check(config.check);
    kernel.connect(scheduler, shootdown);
    scheduler.connect(std::move(all), kernel, kernel, shootdown);
    scheduler.on_end = [this] { ended_at = queue.now(), queue.stop(); };
  }

 public:
  ~CpuBench() { queue.clear(); }

  // The processes of the trace are there afterwards, so that a test can put pages in place.
  void prepare() { scheduler.prepare(); }
  // From time 0 to the end of the trace; returns how long that took.
  Duration run() {
    queue.run();
    EXPECT_TRUE(scheduler.finished()) << "nothing is left to do before the end of the trace";
    return ended_at - kTimeZero;
  }
  // Every count of every part, one per line.
  std::string counts();

  CpuBenchConfig config;
  PaperTrace trace;
  Clock clock;
  EventQueue queue;
  PhysicalMemory memory;
  Dram dram;
  std::optional<CacheHierarchy> caches;
  PaperKernel kernel;
  Shootdown shootdown;
  Scheduler scheduler;
  std::vector<std::unique_ptr<Mmu>> mmus;
  std::vector<std::unique_ptr<Cpu>> cpus;
  Time ended_at{};
};

inline std::string CpuBench::counts() {
  StatTable table;
  std::string text = fmt::format("time {}\n", (queue.now() - kTimeZero).count());
  for (std::size_t i = 0; i < cpus.size(); ++i) {
    table.collect(fmt::format("mmu{}", i), mmus[i]->stats());
    const CpuStats stats = cpus[i]->stats();
    text += fmt::format("cpu{} {} {} busy {} refs", i, stats.refs(), stats.instructions, stats.busy_subcycles);
    for (const std::uint64_t n : stats.refs_by) text += fmt::format(" {}", n);
    text += '\n';
  }
  for (std::uint32_t level = 0; caches && level < 4; ++level)
    if (caches->has_level(level)) table.collect(fmt::format("cache{}", level), caches->stats(level));
  table.collect("dram", dram.stats());
  for (auto& [pid, usage] : scheduler.usage()) table.collect(fmt::format("process{}", pid), usage);
  for (const StatRow& row : table)
    if (row.kind != StatKind::histogram) text += fmt::format("{} {}\n", row.path, row.amount);
    else text += fmt::format("{} {} {}\n", row.path, row.histogram->count(), row.histogram->sum());
  const SchedulerStats& s = scheduler.stats();
  text += fmt::format("switches {} events {} outside {} protection {}\n", s.context_switches, s.events, s.outside_vma,
                      s.protection);
  text += fmt::format("shootdowns {} ipis {}\n", shootdown.stats().shootdowns, shootdown.stats().ipis);
  for (const auto& call : kernel.calls)
    text += fmt::format("call {} task {} {} {}\n", int(call.op), call.task, call.start.time_since_epoch().count(),
                        call.end.time_since_epoch().count());
  for (const auto& f : kernel.faults)
    text += fmt::format("fault {:x} {}\n", f.va.value, f.start.time_since_epoch().count());
  return text;
}

}  // namespace collapsar::test

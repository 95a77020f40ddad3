// Random machines and random traces for laws that hold for any of them.
#pragma once

#include "sim/core/random.h"
#include "tests/support/cpu_bench.h"

namespace collapsar::test {

class RandomMachine {
 public:
  explicit RandomMachine(std::uint64_t seed) : random_(seed, "random machine") {}

  CpuBenchConfig config() {
    CpuBenchConfig c;
    c.cpu.count = number(1, 3);
    c.cpu.frequency = Frequency{one_of({1e9, 2.6e9, 3.7e9})};
    c.cpu.cycles_per_instruction = one_of({0.0, 0.25, 0.5, 1.0, 1.7});
    c.cpu.outstanding = one_of({1U, 2U, 3U, 10U});
    c.cpu.window = one_of({1U, 8U, 64U, 224U});
    c.cpu.store_buffer = one_of({0U, 1U, 3U, 56U});
    c.cpu.dependence = one_of({Dependence::trace, Dependence::trace, Dependence::none, Dependence::all});
    c.cpu.time_slice = one_of({ns(50), ns(700), ns(20'000)});
    c.cpu.interleave = chance(30) ? Interleave::trace : Interleave::timed;
    c.time = time();
    c.mmu = mmu();
    if (chance(60)) c.caches = caches();
    if (chance(50)) c.dram.ideal.reset();
    c.dram.channels = 1;
    c.replay.repeat = chance(20) ? 2 : 1;
    c.replay.warmup = chance(30) ? number(1, 300) : 0;
    c.context_switch = one_of({ns(0), ns(30), ns(411)});
    c.shootdown = {
        .flush_page = ns(3), .flush_full = ns(20), .ipi_first = ns(11), .ipi_more = ns(2), .ipi_receive = ns(7)};
    c.check = true;
    return c;
  }
  // Several processes with threads, one mapping each, some of it unmapped again.
  PaperTrace trace() {
    PaperTrace t;
    const std::uint32_t processes = number(1, 3);
    for (std::uint32_t pid = 1; pid <= processes; ++pid) t.process(pid, kBase, 64 * kMiB), threads_[pid] = 1;
    const std::uint32_t items = number(5, 60);
    for (std::uint32_t i = 0; i < items; ++i) add_item(t);
    return t;
  }
  void set_up(PaperKernel& kernel) {
    kernel.fault_cost = one_of({ns(0), ns(100), ns(1313)});
    kernel.call_cost = one_of({ns(0), ns(250)});
    kernel.faults_sleep = chance(40), kernel.calls_sleep = chance(40);
  }
  std::uint32_t number(std::uint32_t low, std::uint32_t high) {
    return low + std::uint32_t(random_.below(high - low + 1));
  }
  bool chance(std::uint32_t percent) { return random_.below(100) < percent; }

 private:
  template <class T>
  T one_of(std::initializer_list<T> values) {
    return *(values.begin() + random_.below(values.size()));
  }
  TimeConfig time() {
    TimeConfig t;
    t.pace = one_of({Pace::model, Pace::model, Pace::model, Pace::timestamps, Pace::fixed});
    t.fixed = one_of({ns(1), ns(15)});
    t.scale = one_of({1.0, 1.0, 1.5, 40.0});
    return t;
  }
  TlbArrayConfig array(std::vector<PageSize> pages) {
    TlbArrayConfig a;
    a.sets = one_of({1U, 2U, 3U, 4U});
    for (const PageSize size : pages) a.ways[size] = number(1, 4);
    a.pages = std::move(pages);
    a.replacement = one_of({Replacement::lru, Replacement::plru, Replacement::random});
    return a;
  }
  MmuConfig mmu() {
    using enum PageSize;
    MmuConfig m;
    m.levels = chance(25) ? 5 : 4;
    m.walkers = number(1, 3);
    m.asids = chance(70);
    m.ideal = chance(10);
    m.l1i = {array({k4K, k2M})}, m.l1d = {array({k4K}), array({k2M})}, m.l2 = {array({k4K, k2M})};
    m.l2_latency = number(0, 9);
    m.walk_cache = {.pml5 = number(0, 2), .pml4 = number(0, 2), .pdpt = number(0, 2), .pd = number(0, 3)};
    m.walk_entry = chance(50) ? WalkEntry::l1d : WalkEntry::l2;
    return m;
  }
  CachesConfig caches() {
    CachesConfig c;
    c.l1d = {Bytes{2 * kKiB}, 2, 4, false, false, CacheReplacement::lru};
    c.l2 = CacheLevelConfig{Bytes{8 * kKiB}, 4, 14, false, false, CacheReplacement(number(0, 2))};
    c.l3 = CacheLevelConfig{Bytes{48 * kKiB}, 12, 50, true, chance(50), CacheReplacement::lru};
    c.l3->replacement = chance(50) ? CacheReplacement::lru : CacheReplacement(number(2, 3));
    if (chance(30)) c.l1i = c.l1d;
    return c;
  }

  void add_item(PaperTrace& t) {
    const std::uint32_t pid = 1 + std::uint32_t(random_.below(threads_.size()));
    const std::uint32_t tid = number(1, threads_[pid] + (chance(5) ? 1 : 0));  // sometimes one that was not announced
    threads_[pid] = std::max(threads_[pid], tid);
    const std::uint32_t what = number(1, 100);
    if (what <= 70) {
      TraceRun& run = t.run(pid, tid, references());
      run.begin_ns = stamp_, run.end_ns = stamp_ += number(0, 4000);
    } else if (what <= 78) {
      TraceEvent& e = t.event(TraceEvent::Op::madvise, pid, tid);
      e.address = page(random_.below(40)).value, e.length = kPageBytes * number(1, 50), e.stamp_ns = stamp_;
    } else if (what <= 83) {
      t.event(TraceEvent::Op::idle, pid, tid).value = number(0, 5000);
    } else if (what <= 90 && threads_[pid] < 4) {
      t.thread(pid, ++threads_[pid]);
    } else if (what <= 94 && threads_.size() < 4) {
      const auto child = std::uint32_t(threads_.size() + 1);
      t.fork(pid, child), threads_[child] = 1;
    } else if (what <= 97) {
      TraceEvent& e = t.event(TraceEvent::Op::munmap, pid, tid);
      e.address = page(200).value, e.length = kPageBytes * 8;
    }
  }
  std::vector<Record> references() {
    std::vector<Record> records;
    const std::uint32_t count = chance(10) ? number(500, 3000) : number(1, 120);
    const std::uint32_t pages = one_of({2U, 6U, 30U, 300U});
    for (std::uint32_t i = 0; i < count; ++i) {
      Record r;
      r.kind = RefKind(one_of({1U, 1U, 1U, 2U, 2U, 0U, 3U, 4U, 5U}));
      r.va = page(random_.below(pages), random_.below(kPageBytes)).value;
      r.size =
          chance(2) ? std::uint16_t(number(1, 8191)) : one_of({std::uint16_t(1), std::uint16_t(8), std::uint16_t(64)});
      if (chance(1)) r.va += 1ULL << 40;  // outside every mapping
      r.instructions = one_of({0U, 1U, 1U, 3U, 20U});
      r.flags = chance(20) ? Record::kDependsOnLoad : 0;
      records.push_back(r);
    }
    return records;
  }

  Random random_;
  std::map<std::uint32_t, std::uint32_t> threads_;
  std::int64_t stamp_ = 0;
};

}  // namespace collapsar::test

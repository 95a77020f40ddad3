// Shootdown: keeps the TLBs of all CPUs in step with the page tables.
//
// Models:      flush of a range or (above the 33-page ceiling) of a whole address space; IPIs to the other CPUs that
//              run it; what sender and receivers lose.
// Simplified:  CPUs that hold entries of an address space they do not run drop them at once and for free (Linux does so
//              lazily at the next switch); no lazy-TLB mode.
// Time:        flush_duration() for the sender; receivers lose ipi_receive each.
// Source:      hardware.md 1.2 (ceiling 33), 4.3 (costs); costs come in as ShootdownCosts.
#pragma once

#include <vector>

#include "models/mmu/mmu.h"

namespace collapsar {

struct ShootdownCosts {
  Duration flush_page{}, flush_full{}, ipi_first{}, ipi_more{}, ipi_receive{};
};

struct ShootdownStats {
  std::uint64_t shootdowns = 0, ipis = 0;
};

// What a shootdown asks of a CPU.
class InterruptSink {
 public:
  virtual ~InterruptSink() = default;
  virtual bool runs(Asid asid) const = 0;
  virtual void take_time(Duration lost) = 0;
};

class Shootdown : public TlbShootdown {
 public:
  // tlb_single_page_flush_ceiling (hardware.md 1.2): above it the whole address space is flushed.
  static constexpr std::uint64_t kSinglePageCeiling = 33;

  explicit Shootdown(const ShootdownCosts& costs) : costs_(costs) {}
  ~Shootdown() override;
  // In order of their ids.
  void add_cpu(Mmu& mmu, InterruptSink& cpu) { cpus_.push_back({&mmu, &cpu}); }
  // With --check: at the end of each tick with a flush the TLBs are held against the page tables of the spaces that were
  // flushed and have been announced. Ranges whose entries have changed and whose flush is still to come (flush_duration()
  // has been asked) are left out.
  void set_check(bool on) { is_checking_ = on; }
  void add_space(AddressSpaceRoot space);

  Duration flush_duration(Asid asid, VirtRange range, PageSize stride, CpuId initiator) override;
  void flush(Asid asid, VirtRange range, PageSize stride, CpuId initiator, bool tables_freed) override;
  Duration interrupt_all(CpuId initiator) override;
  void forget(Asid asid) override;
  const ShootdownStats& stats() const { return stats_; }

 private:
  struct Target {
    Mmu* mmu;
    InterruptSink* cpu;
  };
  static std::uint64_t steps(VirtRange range, PageSize stride) {
    return std::max<std::uint64_t>(1, align_up(range.bytes(), page_bytes(stride)) / page_bytes(stride));
  }
  static bool is_full(VirtRange range, PageSize stride) { return steps(range, stride) > kSinglePageCeiling; }
  void note_flush(Asid asid, VirtRange flushed);
  void check_all();
  void check(Asid asid);
  bool is_interrupted(CpuId cpu, Asid asid, CpuId initiator) const {
    return cpu != initiator && cpus_[cpu].cpu->runs(asid);
  }

  ShootdownCosts costs_;
  std::vector<Target> cpus_;
  ShootdownStats stats_;
  // For the check.
  bool is_checking_ = false;
  EventQueue* queue_ = nullptr;     // that check_ is on
  std::vector<PageTable*> tables_;  // by asid
  std::vector<Asid> flushed_;       // in this tick
  std::vector<std::pair<Asid, VirtRange>> still_to_flush_;
  Event check_ = event<&Shootdown::check_all>(this, "shootdown.check", Phase::observe);
};

}  // namespace collapsar

#include "models/mmu/shootdown.h"

#include <algorithm>
#include <utility>

namespace collapsar {

void Shootdown::add_space(AddressSpaceRoot space) {
  if (tables_.size() <= space.asid) tables_.resize(space.asid + 1);
  tables_[space.asid] = space.table;
}

Duration Shootdown::flush_duration(Asid asid, VirtRange range, PageSize stride, CpuId initiator) {
  if (is_checking_) still_to_flush_.emplace_back(asid, range);
  const Duration local =
      is_full(range, stride) ? costs_.flush_full : costs_.flush_page * std::int64_t(steps(range, stride));
  std::int64_t others = 0;
  for (CpuId cpu = 0; cpu < cpus_.size(); ++cpu) others += is_interrupted(cpu, asid, initiator);
  return others == 0 ? local : local + costs_.ipi_first + costs_.ipi_more * (others - 1);
}

void Shootdown::flush(Asid asid, VirtRange range, PageSize stride, CpuId initiator, bool) {
  std::uint32_t interrupted = 0;
  for (CpuId cpu = 0; cpu < cpus_.size(); ++cpu) {
    if (is_full(range, stride)) cpus_[cpu].mmu->flush_asid(asid);
    else cpus_[cpu].mmu->flush_range(asid, range);
    if (!is_interrupted(cpu, asid, initiator)) continue;
    cpus_[cpu].cpu->take_time(costs_.ipi_receive);
    ++interrupted;
  }
  stats_.shootdowns += interrupted > 0;
  stats_.ipis += interrupted;
  if (is_checking_) note_flush(asid, range);
}

Duration Shootdown::interrupt_all(CpuId initiator) {
  std::int64_t others = 0;
  for (CpuId cpu = 0; cpu < cpus_.size(); ++cpu) {
    if (cpu == initiator) continue;
    cpus_[cpu].cpu->take_time(costs_.ipi_receive);
    ++others;
  }
  stats_.ipis += std::uint64_t(others);
  return others == 0 ? Duration::zero() : costs_.ipi_first + costs_.ipi_more * (others - 1);
}

void Shootdown::forget(Asid asid) {
  for (const Target& target : cpus_) target.mmu->flush_asid(asid);
  if (asid < tables_.size()) tables_[asid] = nullptr;
}

// --- the check ---

Shootdown::~Shootdown() {
  if (queue_) queue_->cancel(check_);
}

// Whoever changes several pages at once flushes them one after the other: the check waits for the last of them.
void Shootdown::note_flush(Asid asid, VirtRange flushed) {
  const auto done = std::find(still_to_flush_.begin(), still_to_flush_.end(), std::pair(asid, flushed));
  if (done != still_to_flush_.end()) still_to_flush_.erase(done);
  if (std::find(flushed_.begin(), flushed_.end(), asid) == flushed_.end()) flushed_.push_back(asid);
  if (cpus_.empty() || check_.pending()) return;
  queue_ = &cpus_.front().mmu->queue();
  queue_->schedule(check_, queue_->now());
}

void Shootdown::check_all() {
  for (const Asid asid : std::exchange(flushed_, {}))
    if (asid < tables_.size() && tables_[asid]) check(asid);
}

void Shootdown::check(Asid asid) {
  const auto is_settled = [&](VirtRange page) {
    return std::none_of(still_to_flush_.begin(), still_to_flush_.end(),
                        [&](const auto& to_flush) { return to_flush.first == asid && to_flush.second.overlaps(page); });
  };
  for (const Target& target : cpus_) target.mmu->check_against(asid, *tables_[asid], is_settled);
}

}  // namespace collapsar

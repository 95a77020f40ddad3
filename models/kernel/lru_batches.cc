#include "models/kernel/lru_batches.h"

#include <algorithm>
#include <utility>

#include "sim/core/error.h"

namespace collapsar {

LruBatches::Batch& LruBatches::batch_of(CpuId cpu) {
  static_assert(CpuId(kNoCpu + 1) == 0);
  const std::size_t place = CpuId(cpu + 1);
  if (batches_.size() <= place) batches_.resize(place + 1);
  return batches_[place];
}

void LruBatches::add(Pfn pfn, CpuId cpu) {
  Frame& frame = kernel_.memory.frame(pfn);
  SIM_ASSERT(!frame.in_batch && !frame.is(Frame::kLru), "frame {:#x} is new to the LRU a second time", pfn.value);
  Batch& batch = batch_of(cpu);
  if (frame.is(Frame::kHead)) {  // the last of its batch, which is drained at once
    drain(batch);
    return enter(pfn);
  }
  frame.in_batch = 1;
  batch.frames[batch.count++] = std::uint32_t(pfn.value);
  if (batch.count == kernel_.rules.lru_batch_pages) drain(batch);
}

void LruBatches::drain(CpuId cpu) { drain(batch_of(cpu)); }

void LruBatches::drain_all() {
  for (Batch& batch : batches_) drain(batch);
}

// All reach their list before the batch gives its references up.
void LruBatches::drain(Batch& batch) {
  const std::uint32_t count = std::exchange(batch.count, 0);
  for (std::uint32_t i = 0; i < count; ++i) {
    kernel_.memory.frame({batch.frames[i]}).in_batch = 0;
    enter({batch.frames[i]});
  }
  for (std::uint32_t i = 0; i < count; ++i) rmap_.free_if_unused({batch.frames[i]});
}

void LruBatches::enter(Pfn pfn) {
  Frame& frame = kernel_.memory.frame(pfn);
  if (kernel_.rules.multi_gen_lru && !frame.is(Frame::kUnevictable)) frame.clear(Frame::kReferenced);
  lru_.add_head(pfn, frame.is(Frame::kActive));
}

void LruBatches::activate(Pfn pfn, CpuId cpu) {
  const Batch& batch = batch_of(cpu);
  const auto end = batch.frames.begin() + batch.count;
  if (std::find(batch.frames.begin(), end, std::uint32_t(pfn.value)) != end)
    kernel_.memory.frame(pfn).set(Frame::kActive);
}

std::uint64_t LruBatches::pages() const {
  std::uint64_t sum = 0;
  for (const Batch& batch : batches_) sum += batch.count;
  return sum;
}

}  // namespace collapsar

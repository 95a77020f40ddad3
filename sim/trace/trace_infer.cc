#include "sim/trace/trace_infer.h"

namespace collapsar {

std::vector<TraceEvent> TouchedRanges::inferred_image(std::uint32_t pid, std::uint32_t tid,
                                                      const std::string& name) const {
  TraceEvent process;
  process.pid = pid, process.tid = tid, process.name = name;
  std::vector<TraceEvent> image{process};
  for (const VirtRange& touched : pages_.ranges()) {
    TraceEvent& last = image.back();
    if (last.op == TraceEvent::Op::vma && touched.start.value - (last.address + last.length) < kInferredGap) {
      last.length = touched.end.value - last.address;
      continue;
    }
    TraceEvent vma = process;
    vma.op = TraceEvent::Op::vma, vma.name.clear();
    vma.address = touched.start.value, vma.length = touched.bytes();
    vma.prot = 7, vma.map_flags = 0x22;  // rwx, MAP_PRIVATE | MAP_ANONYMOUS
    image.push_back(vma);
  }
  return image;
}

}  // namespace collapsar

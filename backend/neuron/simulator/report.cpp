#include "backend/neuron/simulator/report.h"

#include <algorithm>
#include <cstdio>
#include <map>

#include "backend/neuron/simulator/trace.h"

namespace heddle::neuron::sim {
namespace {

template <class... A>
std::string format(const char* pattern, A... values) {
  char text[256];
  std::snprintf(text, sizeof text, pattern, values...);
  return text;
}

std::string lane_name(int lane) {
  constexpr const char* names[] = {"Tensor", "Vector", "Scalar", "GpSimd", "Sync"};
  return lane < 5 ? names[lane] : "DMA queue " + std::to_string(lane - 5);
}

constexpr const char* colours[] = {"#4e79a7", "#f28e2b", "#e15759", "#76b7b2", "#59a14f", "#9c755f"};

}  // namespace

std::string_view opcode_name(Opcode op) {
  constexpr std::string_view names[] = {"dma_copy",
                                        "dma_transpose",
                                        "nc_matmul",
                                        "nc_transpose",
                                        "tensor_copy",
                                        "tensor_copy_predicated",
                                        "memset",
                                        "tensor_tensor",
                                        "tensor_scalar",
                                        "scalar_tensor_tensor",
                                        "tensor_reduce",
                                        "tensor_tensor_scan",
                                        "tensor_scalar_reduce",
                                        "tensor_partition_reduce",
                                        "activation",
                                        "reciprocal",
                                        "iota",
                                        "affine_select",
                                        "bn_stats",
                                        "bn_aggr",
                                        "max8",
                                        "nc_n_gather",
                                        "nc_stream_shuffle"};
  return names[static_cast<size_t>(op)];
}

std::string report_text(const Report& r) {
  std::string out = r.kernel + " on " + r.target + ": " + format("%.2f", r.ns / 1000) + " us modelled";
  if (r.flops > 0) out += format(", %.1f %% of the Tensor engine's peak", 100 * r.utilisation);
  out += ", critical: " + std::string(engine_name(r.critical)) + "\n";
  for (int e = 0; e < engine_count; ++e)
    if (r.instructions[e])
      out +=
          format("  %-7s %6lld instructions  %5.1f %% busy\n", std::string(engine_name(static_cast<Engine>(e))).c_str(),
                 static_cast<long long>(r.instructions[e]), 100 * r.busy(static_cast<Engine>(e)));
  out += format("  DMA moves %.3f MB (%.3f MB from HBM, %.3f MB to it)\n", r.dma_bytes / 1e6, r.hbm_read_bytes / 1e6,
                r.hbm_written_bytes / 1e6);
  out += format("  SBUF peak %lld bytes of a partition, PSUM peak %d banks\n",
                static_cast<long long>(r.sbuf_peak_bytes), r.psum_peak_banks);
  return out;
}

std::string report_json(const Report& r) {
  std::string out = "{\"kernel\": \"" + r.kernel + "\", \"target\": \"" + r.target +
                    "\", \"modelled_us\": " + format("%.4f", r.ns / 1000) +
                    ", \"utilisation\": " + format("%.6f", r.utilisation) + ", \"critical\": \"" +
                    std::string(engine_name(r.critical)) + "\", \"engines\": {";
  for (int e = 0; e < engine_count; ++e)
    out += (e ? ", \"" : "\"") + std::string(engine_name(static_cast<Engine>(e))) +
           "\": " + format("%.6f", r.busy(static_cast<Engine>(e)));
  out += "}, \"instructions\": {";
  for (int e = 0; e < engine_count; ++e)
    out += (e ? ", \"" : "\"") + std::string(engine_name(static_cast<Engine>(e))) +
           "\": " + std::to_string(r.instructions[e]);
  out += "}, \"dma_bytes\": " + std::to_string(r.dma_bytes) +
         ", \"hbm_read_bytes\": " + std::to_string(r.hbm_read_bytes) +
         ", \"hbm_written_bytes\": " + std::to_string(r.hbm_written_bytes) + ", \"flops\": " + format("%.0f", r.flops) +
         ", \"sbuf_peak_bytes\": " + std::to_string(r.sbuf_peak_bytes) +
         ", \"psum_peak_banks\": " + std::to_string(r.psum_peak_banks) +
         ", \"static_instructions\": " + std::to_string(r.static_instructions) + "}";
  return out;
}

std::string timeline_json(const Report& r) {
  std::string out = "{\"displayTimeUnit\": \"ns\", \"traceEvents\": [\n";
  std::map<int, bool> lanes;
  for (const TimelineEvent& e : r.timeline) lanes[e.lane] = true;
  bool first = true;
  for (auto [lane, used] : lanes) {
    out += std::string(first ? "" : ",\n") +
           "{\"name\": \"thread_name\", \"ph\": \"M\", \"pid\": 1, \"tid\": " + std::to_string(lane) +
           ", \"args\": {\"name\": \"" + lane_name(lane) + "\"}}";
    first = false;
  }
  for (const TimelineEvent& e : r.timeline) {
    out += std::string(first ? "" : ",\n") + "{\"name\": \"" + std::string(e.name) +
           "\", \"ph\": \"X\", \"pid\": 1, \"tid\": " + std::to_string(e.lane) +
           format(", \"ts\": %.4f, \"dur\": %.4f", e.start / 1000, (e.end - e.start) / 1000) +
           ", \"args\": {\"line\": " + std::to_string(e.line) + ", \"instruction\": " + std::to_string(e.instruction) +
           "}}";
    first = false;
  }
  return out + "\n]}\n";
}

std::string timeline_svg(const Report& r) {
  constexpr double width = 1200, left = 110, row = 22;
  std::map<int, int> rows;
  for (const TimelineEvent& e : r.timeline) rows[e.lane] = 0;
  int next = 0;
  for (auto& [lane, at] : rows) at = next++;
  const double scale = r.ns > 0 ? (width - left - 10) / r.ns : 0, height = 40 + row * next;
  std::string out = format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" font-family=\"sans-serif\" "
      "font-size=\"11\">\n",
      width, height);
  out += "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n";
  out += format("<text x=\"4\" y=\"14\">%s on %s: %.2f us (modelled)</text>\n", r.kernel.substr(0, 60).c_str(),
                r.target.c_str(), r.ns / 1000);
  for (auto [lane, at] : rows) {
    out += format("<text x=\"4\" y=\"%.1f\">%s</text>\n", 38 + row * at, lane_name(lane).c_str());
    out += format("<line x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>\n", left, width - 10,
                  44 + row * at, 44 + row * at);
  }
  // Neighbours closer than a third of a pixel become one box, so that a picture stays small.
  std::vector<TimelineEvent> events = r.timeline;
  std::sort(events.begin(), events.end(), [](const TimelineEvent& a, const TimelineEvent& b) {
    return a.lane != b.lane ? a.lane < b.lane : a.start < b.start;
  });
  for (size_t i = 0; i < events.size();) {
    double begin = events[i].start, end = events[i].end;
    size_t j = i + 1;
    while (j < events.size() && events[j].lane == events[i].lane && events[j].name == events[i].name &&
           (events[j].start - end) * scale < 0.3)
      end = std::max(end, events[j++].end);
    out += format("<rect x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"14\" fill=\"%s\">", left + begin * scale,
                  28 + row * rows[events[i].lane], std::max(0.2, (end - begin) * scale),
                  colours[std::min<int>(events[i].lane, 5)]);
    out += format("<title>%s%s line %d, %.3f to %.3f us</title></rect>\n", std::string(events[i].name).c_str(),
                  j - i > 1 ? format(" (%d)", static_cast<int>(j - i)).c_str() : "", events[i].line, begin / 1000,
                  end / 1000);
    i = j;
  }
  return out + "</svg>\n";
}

}  // namespace heddle::neuron::sim

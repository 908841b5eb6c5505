#include "support/source.h"

#include <algorithm>

namespace heddle {

SourceRef Source::make(std::string name, std::string text) {
  return std::shared_ptr<const Source>(new Source(std::move(name), std::move(text)));
}

Source::Source(std::string name, std::string text) : name_(std::move(name)), text_(std::move(text)), starts_{0} {
  for (uint32_t i = 0; i < text_.size(); ++i)
    if (text_[i] == '\n') starts_.push_back(i + 1);
}

Source::LineColumn Source::at(uint32_t offset) const {
  offset = std::min<uint32_t>(offset, static_cast<uint32_t>(text_.size()));
  auto next = std::upper_bound(starts_.begin(), starts_.end(), offset);
  int line = static_cast<int>(next - starts_.begin());
  int column = 1;
  for (uint32_t i = starts_[line - 1]; i < offset; ++i)
    if ((static_cast<unsigned char>(text_[i]) & 0xC0) != 0x80) ++column;  // continuation bytes are no columns
  return {line, column};
}

std::string_view Source::line(int number) const {
  if (number < 1 || number > line_count()) return {};
  uint32_t begin = starts_[number - 1];
  uint32_t end = number < line_count() ? starts_[number] - 1 : static_cast<uint32_t>(text_.size());
  if (end > begin && text_[end - 1] == '\r') --end;
  return std::string_view(text_).substr(begin, end - begin);
}

Place Place::to(const Place& other) const {
  if (!known()) return other;
  if (!other.known() || other.source != source) return *this;
  return {source, std::min(begin, other.begin), std::max(end, other.end)};
}

std::string_view Place::text() const {
  if (!known()) return {};
  auto all = source->text();
  uint32_t from = std::min<uint32_t>(begin, static_cast<uint32_t>(all.size()));
  uint32_t to = std::clamp<uint32_t>(end, from, static_cast<uint32_t>(all.size()));
  return all.substr(from, to - from);
}

}  // namespace heddle

// What a page is like: its elements, its text's least contrast, and what happened that must not.
const rgb = (text) => {
  const parts = text.match(/[\d.]+/g).map(Number);
  return { rgb: parts.slice(0, 3), alpha: parts.length > 3 ? parts[3] : 1 };
};
const over = (above, alpha, below) => above.map((part, index) => part * alpha + below[index] * (1 - alpha));
const below = (element) => {
  const layers = [];
  let alpha = 0;
  for (let at = element; at && alpha < 1; at = at.parentElement) {
    const colour = rgb(getComputedStyle(at).backgroundColor);
    alpha = colour.alpha;
    if (alpha > 0) layers.push(colour);
  }
  return layers.reduceRight((seen, layer) => over(layer.rgb, layer.alpha, seen), [255, 255, 255]);
};
const luminance = (colour) => {
  const [red, green, blue] = colour.map((part) => part / 255).map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};
let least = { contrast: 21 };
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let text = texts.nextNode(); text; text = texts.nextNode()) {
  const element = text.parentElement;
  if (!text.data.trim() || !element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
  let opacity = 1;
  for (let at = element; at; at = at.parentElement) opacity *= Number(getComputedStyle(at).opacity);
  const under = below(element);
  const colour = rgb(getComputedStyle(element).color);
  const seen = over(colour.rgb, colour.alpha * opacity, under);
  const [light, dark] = [luminance(seen), luminance(under)].sort((a, b) => b - a);
  const contrast = (light + 0.05) / (dark + 0.05);
  if (contrast < least.contrast) least = { contrast, colours: [seen, under], text: text.data.trim().slice(0, 60), in: element.className || element.tagName };
}
const elements = [...document.querySelectorAll("*")];
const wide = elements.filter((element) => element.getBoundingClientRect().right > innerWidth + 1 && !element.closest(".scroll, .log, pre, .skip, svg, .captures"));
return {
  at: location.pathname + location.search,
  title: document.title,
  lang: document.documentElement.lang,
  headings: document.querySelectorAll("h1").length,
  mains: document.querySelectorAll("main").length,
  least,
  scrolled: document.documentElement.scrollWidth - innerWidth,
  wide: wide.slice(0, 5).map((element) => element.outerHTML.slice(0, 120)),
  elements: [...new Set(elements.map((element) => element.localName))],
  classes: [...new Set(elements.flatMap((element) => [...element.classList]))],
  attributes: [...new Set(elements.flatMap((element) => element.getAttributeNames()))],
  ids: [...new Set(elements.map((element) => element.id.replace(/\d+/g, "0")))].filter((id) => id),
  unnamed: elements.filter((element) => element.matches("a[href], button, input, select, summary") && element.checkVisibility()
    && !(element.textContent.trim() || element.getAttribute("aria-label") || element.closest("label") || element.querySelector("img[alt]:not([alt=''])"))).map((element) => element.outerHTML.slice(0, 120)),
  violations: window.violations || [],
  dialogs: window.dialogs || [],
};

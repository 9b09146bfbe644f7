() => {
  // Names for what gradio leaves without: pictures and the 3D view, for those who do not see them.
  const names = {
    "#picture img": "Your photo", "#photo img": "Photo", "#depth img": "Depth in colours, near is bright",
    "#marked img": "Picture to measure in", "#gallery .preview img": "Depth in colours", "#clip video": "Your clip",
    "#result video": "Depth of the clip",
  };
  const name = () => {
    for (const [selector, text] of Object.entries(names)) {
      for (const part of document.querySelectorAll(selector)) {
        const attribute = part.tagName === "IMG" ? "alt" : "aria-label";
        if (part.getAttribute(attribute) !== text) part.setAttribute(attribute, text);
      }
    }
    for (const canvas of document.querySelectorAll("#scene canvas:not([aria-label])")) {
      canvas.setAttribute("role", "application");
      canvas.setAttribute("aria-label", "The scene in 3D: drag or arrow keys to turn, scroll to come nearer");
      canvas.tabIndex = 0;
    }
  };
  // Arrow keys go from view to view, as they do in other programs' rows of tabs.
  document.addEventListener("keydown", (event) => {
    const tab = event.target.closest?.("[role=tab]"), step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (!tab || !step) return;
    const tabs = [...tab.parentElement.querySelectorAll("[role=tab]")];
    const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
    event.preventDefault();
    next.focus();
    next.click();
  });
  new MutationObserver(name).observe(document.body, {childList: true, subtree: true});
  name();
}

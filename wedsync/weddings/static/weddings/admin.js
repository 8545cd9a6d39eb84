/** Names for what the theme of the admin leaves unnamed: boxes that scroll, and fields that search. */
addEventListener("load", () => {
  const boxes = document.querySelectorAll(".simplebar-content-wrapper[role=region]");
  boxes.forEach((box, n) => box.setAttribute("aria-label", box.closest("#nav-sidebar-apps") ? "Menu" : n ? `Table ${n}` : "Table"));
  for (const field of document.querySelectorAll(".select2-selection[aria-labelledby]")) {
    const text = document.getElementById(field.getAttribute("aria-labelledby"));
    const label = document.querySelector(`label[for="${text?.id.replace(/^select2-|-container$/g, "")}"]`);
    field.removeAttribute("aria-labelledby"); // its own text, which is empty before a choice
    field.setAttribute("aria-label", label?.textContent.trim() || "Choose");
    text?.removeAttribute("role");
  }
});

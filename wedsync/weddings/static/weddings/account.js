/** On every page: what this device keeps goes when somebody logs out, and where nobody is logged in; other tabs hear of that. */
import { forget, tabs } from "./keep.js";

document.querySelector("form[action*=logout]")?.addEventListener("submit", forget);
if (document.body.hasAttribute("data-nobody")) {
  forget();
  tabs?.postMessage("nobody"); // not when the form is sent: until the answer they would only come in again
}

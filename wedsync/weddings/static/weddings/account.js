/** On every page: what this device keeps goes when somebody logs out, and where nobody is logged in; other tabs hear of that. */
import { forget, tabs } from "./keep.js";

document.addEventListener("submit", ({ target }) => target.matches("form[action*=logout]") && forget()); // a page may have two
if (document.body.hasAttribute("data-nobody")) {
  forget();
  tabs?.postMessage("nobody"); // not when the form is sent: until the answer they would only come in again
}

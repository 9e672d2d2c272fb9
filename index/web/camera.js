"use strict";
/* A photo by the camera of this machine.

   Fieldmark.camera({onPhoto, onProblem})  -> opens a dialog with what the camera sees; onPhoto(file), or
       onProblem(sentence). */

(() => {
  const { element } = Fieldmark;
  const WHY = {
    NotAllowedError:
      "The browser was not allowed to use the camera. Allow it in the settings of this site, or choose a photo.",
    NotFoundError: "No camera was found. Choose a photo instead.",
    NotReadableError: "The camera is in use by another program. Close that, or choose a photo.",
  };
  const INSECURE =
    "The browser gives the camera only to pages that came by https or from this machine. Choose a photo instead.";

  function shot(video, then) {
    const canvas = element("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => then(new File([blob], "camera.jpg", { type: "image/jpeg" })), "image/jpeg", 0.95);
  }

  Fieldmark.camera = async ({ onPhoto, onProblem }) => {
    if (!navigator.mediaDevices) return onProblem(INSECURE);
    let stream;
    try {
      const video = { facingMode: "environment", width: { ideal: 1920 }, height: { ideal: 1440 } };
      stream = await navigator.mediaDevices.getUserMedia({ video });
    } catch (error) {
      return onProblem(WHY[error.name] || "The camera could not be opened. Choose a photo instead.");
    }
    const video = element("video", { autoplay: true, playsinline: true, "aria-label": "What the camera sees" });
    video.muted = true;
    video.srcObject = stream;
    const close = () => dialog.close();
    const take = element(
      "button",
      {
        class: "button main",
        type: "button",
        disabled: true,
        on: {
          click: () =>
            shot(video, (file) => {
              close();
              onPhoto(file);
            }),
        },
      },
      "Take the photo"
    );
    video.addEventListener("loadeddata", () => {
      take.disabled = false;
      take.focus();
    });
    const dialog = element(
      "dialog",
      { class: "dialog", "aria-label": "Take a photo" },
      video,
      element(
        "div",
        { class: "row" },
        take,
        element("button", { class: "button", type: "button", on: { click: close } }, "Cancel")
      )
    );
    dialog.addEventListener("close", () => {
      stream.getTracks().forEach((track) => track.stop());
      dialog.remove();
    });
    document.body.append(dialog);
    dialog.showModal();
  };
})();

"""Opens the shop and its administration as a person would: adds an item, corrects a
mistake, sees the item in the shop. Prints what it finds as JSON, and leaves pictures.

    visit.py URL FOLDER
"""

import json
import sys
import uuid

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions
from selenium.webdriver.support.ui import WebDriverWait

url, folder = sys.argv[1], sys.argv[2]


def main() -> None:
    options = webdriver.ChromeOptions()
    for option in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1100,900", "--hide-scrollbars"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))
    browser.set_page_load_timeout(60)
    try:
        print(json.dumps(visit(browser)))
    finally:
        browser.quit()


def visit(browser: webdriver.Chrome) -> dict:
    found = {}
    name = f"Blackberry jam {uuid.uuid4().hex[:4]}"

    browser.get(url + "/")
    found["shop title"] = browser.title
    server = browser.find_element(By.ID, "server")
    found["shop server"] = server.text
    found["server is at the top left"] = server.location["x"] < 100 and server.location["y"] < 60
    found["columns"] = [cell.text for cell in browser.find_elements(By.CSS_SELECTOR, "#items th")]
    found["styled"] = styled(browser)
    picture(browser, "shop")

    browser.get(url + "/admin")
    found["admin server"] = browser.find_element(By.ID, "server").text
    found["admin styled"] = styled(browser)
    picture(browser, "admin")

    submit(browser, name, "-4", "3.999")
    found["errors"] = {e.get_attribute("id"): e.text for e in browser.find_elements(By.CLASS_NAME, "field-error")}
    found["name is kept"] = browser.find_element(By.NAME, "name").get_attribute("value") == name
    picture(browser, "admin-errors")

    submit(browser, name, "40", "3.90")
    found["added"] = browser.find_element(By.CSS_SELECTOR, "[role=status]").text == f"Added {name}."
    picture(browser, "admin-added")
    submit(browser, name, "41", "")
    found["updated"] = browser.find_element(By.CSS_SELECTOR, "[role=status]").text.startswith(f"Updated {name}")
    picture(browser, "admin-updated")

    found["shown by"] = {}
    for _ in range(2):
        browser.get(url + "/")
        rows = [[cell.text for cell in row.find_elements(By.TAG_NAME, "td")] for row in browser.find_elements(By.CSS_SELECTOR, "#items tbody tr")]
        found["shown by"][browser.find_element(By.ID, "server").text] = [row[1:] for row in rows if row[0] == name]
    picture(browser, "shop-after")

    # The widest name there is.
    admin = url + "/admin"
    browser.get(admin)
    submit(browser, "W" * 40, "1000000", "99999.99")
    browser.set_window_size(500, 900)
    browser.get(admin)
    found["fits a telephone"] = browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    picture(browser, "admin-narrow")
    # The 422 of the form that was wrong on purpose is logged as well.
    found["console"] = [entry["message"] for entry in browser.get_log("browser") if "422" not in entry["message"]]
    return found


def submit(browser: webdriver.Chrome, name: str, quantity: str, price: str) -> None:
    for field, value in (("name", name), ("quantity", quantity), ("price", price)):
        element = browser.find_element(By.NAME, field)
        element.clear()
        element.send_keys(value)
    page = browser.find_element(By.TAG_NAME, "html")
    browser.find_element(By.TAG_NAME, "button").click()
    # A driver that is asked amid the change of pages may answer with an error of its
    # own instead of "stale": it is asked again.
    changed = WebDriverWait(browser, 60, ignored_exceptions=[WebDriverException])
    changed.until(expected_conditions.staleness_of(page))


def styled(browser: webdriver.Chrome) -> bool:
    return browser.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(244, 246, 248)"


def picture(browser: webdriver.Chrome, name: str) -> None:
    browser.save_screenshot(f"{folder}/{name}.png")


main()

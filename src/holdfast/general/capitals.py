"""Capitals: the capital of a country, and the country of a capital."""

from __future__ import annotations

from holdfast.general.making import question
from holdfast.probes.items import Item

CAPITALS = """
Afghanistan: Kabul | Albania: Tirana | Algeria: Algiers | Angola: Luanda | Argentina: Buenos Aires | Armenia: Yerevan
Australia: Canberra | Austria: Vienna | Azerbaijan: Baku | Bahrain: Manama | Bangladesh: Dhaka | Belarus: Minsk
Belgium: Brussels | Bhutan: Thimphu | Bosnia and Herzegovina: Sarajevo | Botswana: Gaborone | Brazil: Brasília
Bulgaria: Sofia | Burkina Faso: Ouagadougou | Cambodia: Phnom Penh | Cameroon: Yaoundé | Canada: Ottawa
Chad: N'Djamena | Chile: Santiago | China: Beijing | Colombia: Bogotá | Costa Rica: San José | Croatia: Zagreb
Cuba: Havana | Cyprus: Nicosia | Denmark: Copenhagen | Ecuador: Quito | Egypt: Cairo | El Salvador: San Salvador
Eritrea: Asmara | Estonia: Tallinn | Ethiopia: Addis Ababa | Fiji: Suva | Finland: Helsinki | France: Paris
Gabon: Libreville | Gambia: Banjul | Georgia: Tbilisi | Germany: Berlin | Ghana: Accra | Greece: Athens
Guatemala: Guatemala City | Guinea: Conakry | Guyana: Georgetown | Haiti: Port-au-Prince | Honduras: Tegucigalpa
Hungary: Budapest | Iceland: Reykjavik | India: New Delhi | Iran: Tehran | Iraq: Baghdad | Ireland: Dublin
Italy: Rome | Jamaica: Kingston | Japan: Tokyo | Jordan: Amman | Kenya: Nairobi | Kuwait: Kuwait City
Kyrgyzstan: Bishkek | Laos: Vientiane | Latvia: Riga | Lebanon: Beirut | Lesotho: Maseru | Liberia: Monrovia
Libya: Tripoli | Lithuania: Vilnius | Madagascar: Antananarivo | Malawi: Lilongwe
Malaysia: Kuala Lumpur | Mali: Bamako | Malta: Valletta | Mauritania: Nouakchott | Mexico: Mexico City
Moldova: Chisinau | Mongolia: Ulaanbaatar | Montenegro: Podgorica | Morocco: Rabat | Mozambique: Maputo
Namibia: Windhoek | Nepal: Kathmandu | New Zealand: Wellington | Nicaragua: Managua | Niger: Niamey
Nigeria: Abuja | North Macedonia: Skopje | Norway: Oslo | Oman: Muscat | Pakistan: Islamabad | Panama: Panama City
Papua New Guinea: Port Moresby | Paraguay: Asunción | Peru: Lima | Philippines: Manila | Poland: Warsaw
Portugal: Lisbon | Qatar: Doha | Romania: Bucharest | Russia: Moscow | Rwanda: Kigali | Saudi Arabia: Riyadh
Senegal: Dakar | Serbia: Belgrade | Sierra Leone: Freetown | Slovakia: Bratislava
Slovenia: Ljubljana | Somalia: Mogadishu | South Korea: Seoul | Spain: Madrid | Sudan: Khartoum
Suriname: Paramaribo | Sweden: Stockholm | Syria: Damascus | Tajikistan: Dushanbe | Thailand: Bangkok | Togo: Lomé
Tunisia: Tunis | Turkey: Ankara | Turkmenistan: Ashgabat | Uganda: Kampala | Ukraine: Kyiv
United Kingdom: London | Uruguay: Montevideo | Uzbekistan: Tashkent | Venezuela: Caracas | Vietnam: Hanoi
Zambia: Lusaka | Zimbabwe: Harare
"""
"""Countries with one capital that nobody disputes, each with it."""

SPELLINGS = {
    "Asunción": ["Asuncion"],
    "Bogotá": ["Bogota"],
    "Brasília": ["Brasilia"],
    "Chisinau": ["Chișinău", "Chişinău", "Kishinev"],
    "Guatemala City": ["Ciudad de Guatemala"],
    "Kyiv": ["Kiev"],
    "Lomé": ["Lome"],
    "Mexico City": ["Ciudad de México"],
    "N'Djamena": ["Ndjamena", "N’Djamena"],
    "New Delhi": ["Delhi"],
    "Panama City": ["Ciudad de Panamá"],
    "Reykjavik": ["Reykjavík"],
    "San José": ["San Jose"],
    "Ulaanbaatar": ["Ulan Bator"],
    "Yaoundé": ["Yaounde"],
}
"""Other spellings of a capital that are right too."""

WITH_ARTICLE = ("Gambia", "Philippines", "United Kingdom")
NAMESAKES = ("Kuwait City", "Mexico City", "Panama City", "Guatemala City", "San Salvador", "Tunis", "Algiers")
"""Capitals that give their country away: only the country is asked about."""


def capitals() -> dict[str, str]:
    """Returns the capital of each country."""
    pairs = [pair.partition(": ") for line in CAPITALS.strip().splitlines() for pair in line.split(" | ")]
    return {country: capital for country, _, capital in pairs}


def items() -> list[Item]:
    """Returns two items for each country; items about one country share its group."""
    entries = []
    for country, capital in capitals().items():
        name = f"the {country}" if country in WITH_ARTICLE else country
        entries.append(
            question(
                "capitals",
                f"of {country}",
                f"country {country}",
                f"What is the capital of {name}?",
                f"The capital city of France is Paris.\nThe capital city of {name} is"
                if country != "France"
                else "The capital city of Spain is Madrid.\nThe capital city of France is",
                capital,
                {"any": [capital, *SPELLINGS.get(capital, [])]},
                max_tokens=16,
            )
        )
        if capital in NAMESAKES:
            continue
        entries.append(
            question(
                "capitals",
                f"with {capital}",
                f"country {country}",
                f"{capital} is the capital of which country?",
                f"{capital} is the capital city of the country of",
                country,
                {"contains": country},
                max_tokens=16,
            )
        )
    return entries
